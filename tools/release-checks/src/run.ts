import { execFile } from "node:child_process";

/** What a finished command printed, and its exit code. */
export interface Finished {
  readonly code: number;
  readonly output: string;
}

/** Runs a command to its end; a non-zero exit is a value, so that a test can show the output. */
export function run(file: string, args: readonly string[], options: RunOptions): Promise<Finished> {
  const { cwd, env = process.env, timeoutMs = 120_000 } = options;
  return new Promise((resolve) => {
    let stopped = false;
    const child = execFile(file, [...args], { cwd, env, maxBuffer: 32 << 20 }, (error, stdout, stderr) => {
      clearTimeout(timer);
      const failed = error !== null || stopped;
      const code = typeof error?.code === "number" ? error.code : failed ? 1 : 0;
      const cause = error !== null && typeof error.code !== "number" ? `\n${error.message}` : "";
      const late = stopped ? `\nended after ${timeoutMs} ms, unfinished` : "";
      resolve({ code, output: `${stdout}${stderr}${cause}${late}` });
    });
    // Not execFile's own: a command that ends with 0 when it gets a signal (turbo does) would pass for one that is done.
    const timer = setTimeout(() => {
      stopped = true;
      child.kill();
    }, timeoutMs);
  });
}

/** Where and how long a command may run. */
export interface RunOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Milliseconds until it is killed, and has failed; 120 000. */
  readonly timeoutMs?: number;
}
