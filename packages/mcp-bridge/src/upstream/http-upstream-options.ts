import type { LookupFunction } from "node:net";
import type { Dispatcher } from "undici";
import { z } from "zod";
import type { Era } from "../revisions.ts";
import type { HeaderSource } from "./http-connection.ts";

/** Options of `createHttpUpstream`. */
export interface HttpUpstreamOptions {
  /** Endpoint of the MCP server, `http:` or `https:`. */
  readonly url: string | URL;
  /** Sent with every request; a function is asked before each one, so that credentials may change. Default none. */
  readonly headers?: HeaderSource;
  /** Connections to use instead of an own pool, for example with a checked `connect`. Not closed by us. */
  readonly dispatcher?: Dispatcher;
  /** Name resolution of own connections, for example one that refuses addresses. Default: the system's. */
  readonly lookup?: LookupFunction;
  /** `auto` asks the server (`server/discover`); the others skip that. Default `auto`. */
  readonly era?: "auto" | Era;
  /** `streamable` HTTP, the 2024-11-05 transport `sse`, or whichever the server offers. Default `auto`. */
  readonly transport?: "auto" | "streamable" | "sse";
  /** How long a legacy verdict holds before the server is asked again. Default 300 000. */
  readonly legacyVerdictTtlMs?: number;
  /** Most connections that calls share. Default 128. */
  readonly connections?: number;
  /** Longest wait for a TCP and TLS connection. Default 5 000. */
  readonly connectTimeoutMs?: number;
  /** How long an idle connection is kept. Default 30 000. */
  readonly keepAliveTimeoutMs?: number;
  /** Longest wait for each step of the handshake. Default 10 000. */
  readonly handshakeTimeoutMs?: number;
  /** Longest wait for an answer; a call may say otherwise; 0 = none. Default 60 000. */
  readonly requestTimeoutMs?: number;
  /** Longest wait for the DELETE of a closing session. Default 2 000. */
  readonly closeTimeoutMs?: number;
  /** Longest answer, and longest event of a stream, in bytes. Default 64 MiB. */
  readonly maxAnswerBytes?: number;
  /** Whether legacy sessions open a stream for the server's own messages. Default true. */
  readonly serverStream?: boolean;
}

const milliseconds = (fallback: number) => z.int().min(0).default(fallback);

/** {@link HttpUpstreamOptions} with their defaults. */
export const httpUpstreamSchema = z.strictObject({
  url: z.union([z.url({ protocol: /^https?$/ }), z.instanceof(URL)]),
  headers: z
    .union([z.record(z.string(), z.string()), z.custom<HeaderSource>((value) => typeof value === "function")])
    .default({}),
  dispatcher: z.custom<Dispatcher>((value) => typeof value === "object" && value !== null).optional(),
  lookup: z.custom<LookupFunction>((value) => typeof value === "function").optional(),
  era: z.enum(["auto", "legacy", "modern"]).default("auto"),
  transport: z.enum(["auto", "streamable", "sse"]).default("auto"),
  legacyVerdictTtlMs: milliseconds(300_000),
  connections: z.int().min(1).default(128),
  connectTimeoutMs: milliseconds(5_000),
  keepAliveTimeoutMs: milliseconds(30_000),
  handshakeTimeoutMs: milliseconds(10_000),
  requestTimeoutMs: milliseconds(60_000),
  closeTimeoutMs: milliseconds(2_000),
  maxAnswerBytes: z
    .int()
    .min(1)
    .default(64 * 1024 * 1024),
  serverStream: z.boolean().default(true),
});
