import { PassThrough } from "node:stream";
import { eventually } from "@gatewright/testkit";
import type { CommandIo } from "../../src/cli/command-io.ts";
import { runCli } from "../../src/cli/run-cli.ts";

/** A command that runs in this process. */
export interface RunningCommand {
  readonly out: readonly string[];
  readonly err: readonly string[];
  readonly input: PassThrough;
  readonly output: PassThrough;
  readonly code: Promise<number>;
  /** Asks it to stop, and waits for its exit code. */
  stop(): Promise<number>;
  /** Tells it to read its configuration again. */
  hangUp(): void;
  /** The URL that it says it listens on. */
  url(): Promise<string>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Runs a command with an environment of its own. */
export function runCommand(args: readonly string[], env: Readonly<Record<string, string>>): RunningCommand {
  const out: string[] = [];
  const err: string[] = [];
  const input = new PassThrough();
  const output = new PassThrough();
  const listeners = new Set<() => void>();
  const stopping = Promise.withResolvers<void>();
  const io: CommandIo = {
    env: { PATH: process.env["PATH"] ?? "", LOG_LEVEL: "silent", PORT: "0", ...env },
    input,
    output,
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    stopped: () => stopping.promise,
    onHangUp(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const code = runCli(args, io);
  const stop = () => {
    stopping.resolve();
    return code;
  };
  return {
    out,
    err,
    input,
    output,
    code,
    stop,
    hangUp() {
      for (const listener of listeners) listener();
    },
    url: () => eventually(() => /https?:\S+$/.exec(out[0] ?? "")?.[0] ?? false, { timeoutMs: 20_000 }),
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}
