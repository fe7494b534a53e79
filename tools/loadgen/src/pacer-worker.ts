import { parentPort, workerData } from "node:worker_threads";
import { createSchedule, type Stage } from "./schedule.ts";

/** What the generator tells its pacer. */
export interface PacerData {
  readonly stages: readonly Stage[];
  /** Start of the run as milliseconds since the epoch, with fractions. */
  readonly startEpochMs: number;
  /** Shared with the generator: 1 while a wake-up waits to be taken. */
  readonly pending: SharedArrayBuffer;
}

/** Calls due within this time of each other share a wake-up. */
const GRAIN_MS = 0.25;

const { stages, startEpochMs, pending } = workerData as PacerData;
const schedule = createSchedule(stages);
const flag = new Int32Array(pending);
const sleep = new Int32Array(new SharedArrayBuffer(4));
const start = startEpochMs - performance.timeOrigin;

let index = 0;
while (index < schedule.total) {
  const wait = start + schedule.offsetOf(index) - performance.now();
  if (wait > 0) Atomics.wait(sleep, 0, 0, wait);
  if (Atomics.exchange(flag, 0, 1) === 0) parentPort?.postMessage(index);
  const until = performance.now() - start + GRAIN_MS;
  while (index < schedule.total && schedule.offsetOf(index) <= until) index += 1;
}
// The last calls may still be due within the grain: a message before that would start nothing, and no other comes.
const rest = start + schedule.offsetOf(schedule.total - 1) + GRAIN_MS - performance.now();
if (rest > 0) Atomics.wait(sleep, 0, 0, rest);
parentPort?.postMessage(index);
