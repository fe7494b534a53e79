import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** A process that this run has started and will end. */
export interface Spawned {
  readonly name: string;
  readonly pid: number;
  /** What it has printed on both streams, the last 64 KiB of it. */
  output(): string;
  /** Resolves with the first match of `pattern` in its output; rejects when it ends before that or in time. */
  waitFor(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray>;
  isRunning(): boolean;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, SIGKILL after five seconds; resolves when it has ended. Idempotent. */
  stop(): Promise<void>;
}

const KEPT_OUTPUT = 65_536;
const KILL_AFTER_MS = 5_000;

/** Starts a command without a shell. `cores` pins it, when the machine has `taskset`. */
export function spawnProcess(
  name: string,
  command: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Spawned {
  const [file = "", ...args] = command;
  const child: ChildProcess = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  const ended = once(child, "exit").catch(() => undefined);
  let output = "";
  const watchers = new Set<() => void>();
  const collect = (chunk: Buffer): void => {
    output = (output + chunk.toString("utf8")).slice(-KEPT_OUTPUT);
    for (const watch of watchers) watch();
  };
  child.stdout?.on("data", collect);
  child.stderr?.on("data", collect);

  const running = (): boolean =>
    child.exitCode === null && child.signalCode === null && child.pid !== undefined;
  return {
    name,
    pid: child.pid ?? -1,
    output: () => output,
    waitFor: (pattern, timeoutMs) =>
      new Promise((resolve, reject) => {
        const settle = (act: () => void): void => {
          clearTimeout(timer);
          watchers.delete(watch);
          act();
        };
        const fail = (why: string) => settle(() => reject(new Error(`${name} ${why}:\n${output}`)));
        const watch = (): void => {
          const match = pattern.exec(output);
          if (match) settle(() => resolve(match));
        };
        const timer = setTimeout(() => fail(`said nothing like ${pattern} in ${timeoutMs} ms`), timeoutMs);
        watchers.add(watch);
        void ended.then(() => fail(`ended with ${child.exitCode ?? child.signalCode}`));
        watch();
      }),
    isRunning: running,
    signal: (signal) => {
      if (running()) child.kill(signal);
    },
    stop: async () => {
      if (!running()) return;
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}
