import { type ChildProcess, spawn } from "node:child_process";
import { unwatchProcess, watchProcess } from "./lifeline.ts";

/** How to start a server as a child process that cannot outlive its test. */
export interface ServerProcessOptions {
  command: string;
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  uid?: number;
  gid?: number;
  /** What the watchdog sends when the test process has died; default KILL. */
  signalOnOwnerDeath?: "KILL" | "QUIT" | "TERM";
  /** How much of its output is kept, in characters; the oldest goes first. Default 1 000 000. */
  maxLogLength?: number;
}

/** How a server process ended. */
export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running server process with its output. */
export interface ServerProcess {
  readonly pid: number;
  /** Settles when the process has ended and its output is complete; never rejects. */
  readonly exited: Promise<ProcessExit>;
  readonly running: boolean;
  /** Standard output and error so far, in order of arrival. */
  logs(): string;
  signal(signal: NodeJS.Signals): void;
  /** Sends `signal`, waits, and kills what is still there after `timeoutMs`. */
  end(signal: NodeJS.Signals, timeoutMs?: number): Promise<ProcessExit>;
  /** Resolves with the match of the first output that fits; rejects, with the output, on exit or time-out. */
  waitForOutput(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
}

/** Starts a child in its own process group, watched by the lifeline. Rejects when it cannot be spawned. */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const child = spawn(options.command, options.args, {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: options.env ?? process.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  // At once: between the spawn and this line nobody would end it.
  if (child.pid !== undefined) watchProcess(child.pid, options.signalOnOwnerDeath ?? "KILL");
  const pid = await spawned(child);

  let output = "";
  let exit: ProcessExit | undefined;
  const listeners = new Set<() => void>();
  const changed = () => {
    for (const listener of [...listeners]) listener();
  };
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-(options.maxLogLength ?? 1_000_000));
      changed();
    });
  }
  child.once("exit", () => unwatchProcess(pid));
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once("exit", (code, signal) => {
      exit = { code, signal };
      // Grandchildren may hold the pipes open for longer than anybody wants to wait.
      const settle = () => {
        resolve({ code, signal });
        changed();
      };
      const patience = setTimeout(settle, 200);
      child.once("close", () => {
        clearTimeout(patience);
        settle();
      });
    });
  });

  const signal = (name: NodeJS.Signals) => {
    if (!exit) child.kill(name);
  };
  return {
    pid,
    exited,
    get running() {
      return exit === undefined;
    },
    logs: () => output,
    signal,
    async end(name, timeoutMs = 5_000) {
      signal(name);
      const killer = setTimeout(() => signal("SIGKILL"), timeoutMs);
      const result = await exited;
      clearTimeout(killer);
      return result;
    },
    waitForOutput(pattern, timeoutMs = 20_000) {
      return new Promise((resolve, reject) => {
        const settle = (finish: () => void) => {
          clearTimeout(timer);
          listeners.delete(check);
          finish();
        };
        const fail = (why: string) =>
          settle(() => reject(new Error(`${options.command} ${why}; its output:\n${output.slice(-4_000)}`)));
        const timer = setTimeout(() => fail(`did not print ${pattern} within ${timeoutMs} ms`), timeoutMs);
        const check = () => {
          const match = pattern.exec(output);
          if (match) settle(() => resolve(match));
          else if (exit) fail(`ended with ${exit.signal ?? `code ${exit.code}`} before it was ready`);
        };
        listeners.add(check);
        check();
      });
    },
  };
}

function spawned(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("spawn", () => (child.pid === undefined ? reject(new Error("no pid")) : resolve(child.pid)));
  });
}
