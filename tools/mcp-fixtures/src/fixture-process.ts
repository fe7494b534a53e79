import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { FixtureStats } from "./fixture.ts";

/** A fixture in a process of its own. */
export interface FixtureProcess {
  readonly url: string;
  readonly pid: number;
  /** What its `GET /stats` answers: the usual figures, and what else the fixture counts. */
  stats(): Promise<FixtureStats & Readonly<Record<string, unknown>>>;
  /** SIGTERM, then waits for its end. Idempotent. */
  stop(): Promise<void>;
  /** SIGKILL, then waits for its end. */
  kill(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts `main.ts NAME …args` with the node that asks, and waits until it listens.
 * `command` goes in front of node, for example `["taskset", "-c", "0"]`.
 */
export async function startFixtureProcess(
  name: string,
  args: readonly string[] = [],
  command: readonly string[] = [],
): Promise<FixtureProcess> {
  const argv = [...command, process.execPath, join(import.meta.dirname, "main.ts"), name, ...args];
  const child = spawn(argv[0] ?? process.execPath, argv.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout });
  const url = await Promise.race([
    once(lines, "line").then(([line]) => String(line)),
    exited.then(([code]) =>
      Promise.reject(new Error(`fixture ${name} ended with ${code} before it listened`)),
    ),
  ]);

  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await exited;
  };
  return {
    url,
    pid: child.pid ?? -1,
    stats: async () => (await fetch(new URL("/stats", url))).json() as never,
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
    [Symbol.asyncDispose]: () => end("SIGKILL"),
  };
}
