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
    execFile(
      file,
      [...args],
      { cwd, env, timeout: timeoutMs, maxBuffer: 32 << 20 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        const cause = error !== null && typeof error.code !== "number" ? `\n${error.message}` : "";
        resolve({ code, output: `${stdout}${stderr}${cause}` });
      },
    );
  });
}

/** Where and how long a command may run. */
export interface RunOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Milliseconds until it is killed; 120 000. */
  readonly timeoutMs?: number;
}
