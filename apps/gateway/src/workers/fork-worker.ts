import cluster from "node:cluster";
import type { WorkerProcess } from "./supervisor.ts";
import { workerVariable } from "./worker-variable.ts";

/** Starts worker `index`, counted from 1, as a process of this primary's cluster. */
export function forkWorker(index: number): WorkerProcess {
  const worker = cluster.fork({ [workerVariable]: String(index) });
  // A message to one that has just died fails here; that it died is heard by `exit`.
  worker.on("error", () => undefined);
  return {
    send: (message) => worker.isConnected() && worker.send(message as string),
    on: (event, listener) => worker.on(event, listener),
    off: (event, listener) => worker.off(event, listener),
    kill: (signal) => void worker.process.kill(signal),
    onExit: (listener) =>
      void worker.once("exit", (code, signal) => listener(code, signal as NodeJS.Signals)),
  };
}
