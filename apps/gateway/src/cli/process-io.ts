import type { CommandIo } from "./command-io.ts";

/** This process as the outside of a command. SIGHUP stops it, unless somebody wants to hear of it. */
export function processIo(): CommandIo {
  const listeners = new Set<() => void>();
  // Whoever read its lines is gone (`gatewright serve | head -1`): no reason to end. Those who answer there look themselves.
  process.stdout.on("error", () => undefined);
  return {
    env: process.env,
    out: (line) => process.stdout.write(`${line}\n`),
    err: (line) => process.stderr.write(`${line}\n`),
    stopped: () =>
      new Promise((resolve) => {
        for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
        process.on("SIGHUP", () => {
          if (listeners.size === 0) resolve();
          for (const listener of listeners) listener();
        });
      }),
    onHangUp(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
