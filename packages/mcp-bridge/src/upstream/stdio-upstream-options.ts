import { z } from "zod";
import type { Era } from "../revisions.ts";

/** Options of `createStdioUpstream`. */
export interface StdioUpstreamOptions {
  /** Program to start, found by PATH or given as a path. No shell is involved. */
  readonly command: string;
  readonly args?: readonly string[];
  /** Added to a small inherited set (PATH, HOME, …); nothing else of our environment reaches the child. */
  readonly env?: { readonly [name: string]: string };
  /** Working directory. Default: ours. */
  readonly cwd?: string;
  /** `session`: one child per session; `shared`: all sessions use one. Default `session`. */
  readonly child?: "session" | "shared";
  /** `auto` asks the child (`server/discover`); the others skip that. Default `auto`. */
  readonly era?: "auto" | Era;
  /** Longest wait for the handshake of a started child. Default 10 000. */
  readonly connectTimeoutMs?: number;
  /** Longest wait for an answer to `server/discover`; silence is legacy. Default 2 000. */
  readonly probeTimeoutMs?: number;
  /** Longest wait for an answer; a call may say otherwise; 0 = none. Default 60 000. */
  readonly requestTimeoutMs?: number;
  /** Pause before a child that ended on its own is started again; doubles with each failure. Default 200. */
  readonly restartBaseMs?: number;
  /** Longest such pause. Default 30 000. */
  readonly restartMaxMs?: number;
  /** Longest pause that `open` sits out itself; a longer one is an error with `retryAfterMs`. Default 2 000. */
  readonly restartWaitMs?: number;
  /** Time that a child has after each step of stopping: end of input, SIGTERM, SIGKILL. 10 … 900, default 650. */
  readonly stopStepMs?: number;
  /** Longest message of the child in bytes. Default 64 MiB. */
  readonly maxAnswerBytes?: number;
  /** Longest line of stderr in bytes; the rest of the line is dropped. Default 8 192. */
  readonly maxStderrLineBytes?: number;
  /** Takes the lines that the child writes to stderr, and those on stdout that are no messages. */
  readonly onStderr?: (line: string) => void;
}

const milliseconds = (fallback: number) => z.int().min(0).default(fallback);

/** {@link StdioUpstreamOptions} with their defaults. */
export const stdioUpstreamSchema = z.strictObject({
  command: z.string().min(1),
  args: z.array(z.string()).default([]),
  env: z.record(z.string(), z.string()).default({}),
  cwd: z.string().optional(),
  child: z.enum(["session", "shared"]).default("session"),
  era: z.enum(["auto", "legacy", "modern"]).default("auto"),
  connectTimeoutMs: milliseconds(10_000),
  probeTimeoutMs: milliseconds(2_000),
  requestTimeoutMs: milliseconds(60_000),
  restartBaseMs: milliseconds(200),
  restartMaxMs: milliseconds(30_000),
  restartWaitMs: milliseconds(2_000),
  stopStepMs: z.int().min(10).max(900).default(650),
  maxAnswerBytes: z
    .int()
    .min(1)
    .default(64 * 1024 * 1024),
  maxStderrLineBytes: z.int().min(1).default(8_192),
  onStderr: z.custom<(line: string) => void>((value) => typeof value === "function").optional(),
});
