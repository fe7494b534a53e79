// A child process that cannot outlive the command that started it: it has its own process group, the
// signals this process gets are passed on, and the loss of this process's parent (npm killed with
// SIGKILL) ends it as SIGTERM would.
import { spawn } from "node:child_process";
import { setPriority } from "node:os";

// A terminal that is gone ends what was started in it; to a gateway SIGHUP alone would mean to read its configuration.
const forwarded = { SIGINT: "SIGINT", SIGTERM: "SIGTERM", SIGHUP: "SIGTERM" };
const parentPollMs = 500;

/**
 * Runs a program to its end.
 * @param {string} file program
 * @param {string[]} args its arguments
 * @param {{cwd?: string, env?: NodeJS.ProcessEnv, stdio?: any, timeoutMs?: number, graceMs?: number, priority?: number, onOutput?: (chunk: string) => void}} options
 *   `timeoutMs`: the group is killed then; `graceMs` (30 000): between a forwarded signal and SIGKILL;
 *   `priority`: niceness of the group, 0 if absent;
 *   `onOutput` sees what it prints where stdio is piped.
 * @returns {Promise<{code: number, output: string, timedOut: boolean, signal?: string}>} the exit code (128 + n
 *   for a signal), what it printed where stdio is piped, and the signal that was passed on to it, if any.
 */
export function runChild(
  file,
  args,
  { cwd, env, stdio = "inherit", timeoutMs, graceMs = 30_000, priority, onOutput } = {},
) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd, env, stdio, detached: true });
    if (priority !== undefined) lower(child.pid, priority);
    const parent = process.ppid;
    let output = "";
    let timedOut = false;
    let signal;
    let killTimer;
    const killGroup = (name) => {
      try {
        process.kill(-child.pid, name);
      } catch {
        // the group is gone
      }
    };
    const end = (name) => {
      if (signal !== undefined) return;
      signal = name;
      child.kill(name);
      killTimer = setTimeout(() => killGroup("SIGKILL"), graceMs);
    };
    const listeners = Object.entries(forwarded).map(([name, meant]) => [name, () => end(meant)]);
    for (const [name, listener] of listeners) process.on(name, listener);
    const parentWatch = setInterval(() => {
      if (process.ppid !== parent) end("SIGTERM");
    }, parentPollMs);
    const deadline =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            killGroup("SIGKILL");
          }, timeoutMs);
    const collect = (chunk) => {
      output += chunk;
      onOutput?.(String(chunk));
    };
    child.stdout?.on("data", collect);
    child.stderr?.on("data", collect);
    let settled = false;
    const settle = (code) => {
      if (settled) return;
      settled = true;
      clearInterval(parentWatch);
      clearTimeout(deadline);
      clearTimeout(killTimer);
      for (const [name, listener] of listeners) process.off(name, listener);
      killGroup("SIGKILL");
      resolve({ code, output, timedOut, signal });
    };
    child.on("error", (error) => {
      output += error.message;
      settle(127);
    });
    child.on("close", (code, name) =>
      settle(code ?? 128 + (name === "SIGKILL" ? 9 : name === "SIGINT" ? 2 : 15)),
    );
  });
}

/** Before it starts what is to inherit it; one that is gone already, or cannot be started, needs none. */
function lower(pid, priority) {
  try {
    if (pid !== undefined) setPriority(pid, priority);
  } catch {
    // the process is gone
  }
}
