import { Worker } from "node:worker_threads";
import type { PacerData } from "./pacer-worker.ts";
import type { Schedule } from "./schedule.ts";

/**
 * Calls `onDue` whenever calls are due, within about a tenth of a millisecond on an idle machine. A timer of the
 * event loop is coarser than the lag that makes a run void, and spinning would take a core from what is measured;
 * so a thread sleeps until the next call and wakes the generator by a message.
 */
export function startPacer(
  schedule: Schedule,
  startAt: number,
  onDue: () => void,
): { stop(): Promise<void> } {
  const pending = new SharedArrayBuffer(4);
  const flag = new Int32Array(pending);
  const data: PacerData = {
    stages: schedule.stages,
    startEpochMs: performance.timeOrigin + startAt,
    pending,
  };
  const worker = new Worker(new URL("./pacer-worker.ts", import.meta.url), { workerData: data });
  worker.on("message", () => {
    Atomics.store(flag, 0, 0);
    onDue();
  });
  return {
    stop: async () => {
      await worker.terminate();
    },
  };
}
