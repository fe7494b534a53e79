import { createLatencyHistogram, type Percentiles } from "./latency-histogram.ts";
import { startPacer } from "./pacer.ts";
import type { Outcome, Recorder } from "./recorder.ts";
import type { Schedule } from "./schedule.ts";

/** Starts call number `index`; `done` must be called exactly once. */
export type Caller = (index: number, done: (outcome: Outcome) => void) => void;

/** One open-loop run. */
export interface OpenLoopOptions {
  readonly schedule: Schedule;
  readonly call: Caller;
  readonly recorder: Recorder;
  /** Calls that may be under way at once; one more is dropped, which is an error. Default 10 000. */
  readonly maxInFlight?: number;
  /** A call that the generator starts later than this after it was due is an error of the generator. Default 50. */
  readonly lateMs?: number;
  /** How long to wait for the last answers; default 10 000. */
  readonly drainMs?: number;
  /** Told once a second how far the run is, 0…1. */
  readonly onProgress?: (ratio: number) => void;
}

/** How well the generator kept its schedule. */
export interface GeneratorReport {
  /** From when a call was due until it was started, in ms. */
  readonly lag: Percentiles;
  readonly dropped: number;
  readonly late: number;
  /** Calls without an answer at the end of the drain. */
  readonly unanswered: number;
  readonly maxInFlight: number;
}

/** Time for the pacer's thread to start before the first call is due. */
const HEAD_START_MS = 200;

/**
 * Starts every call when it is due, whatever became of the ones before (so that a slow answer cannot slow the load
 * down), and measures each from when it was due.
 */
export async function runOpenLoop(options: OpenLoopOptions): Promise<GeneratorReport> {
  const { schedule, call, recorder, maxInFlight = 10_000, lateMs = 50, drainMs = 10_000 } = options;
  const lag = createLatencyHistogram();
  let next = 0;
  let inFlight = 0;
  let mostInFlight = 0;
  let dropped = 0;
  let late = 0;
  let finished: () => void = () => undefined;
  const allStarted = new Promise<void>((resolve) => {
    finished = resolve;
  });

  const start = performance.now() + HEAD_START_MS;
  const startOne = (index: number, dueMs: number, nowMs: number): void => {
    lag.record(nowMs - dueMs);
    if (inFlight >= maxInFlight) {
      dropped += 1;
      recorder.record("dropped", dueMs, undefined);
      return;
    }
    const isLate = nowMs - dueMs > lateMs;
    if (isLate) late += 1;
    inFlight += 1;
    if (inFlight > mostInFlight) mostInFlight = inFlight;
    call(index, (outcome) => {
      inFlight -= 1;
      recorder.record(isLate && outcome === "ok" ? "late" : outcome, dueMs, performance.now() - start);
    });
  };
  const startDue = (): void => {
    let nowMs = performance.now() - start;
    while (next < schedule.total) {
      const dueMs = schedule.offsetOf(next);
      if (dueMs > nowMs) return;
      startOne(next, dueMs, nowMs);
      next += 1;
      nowMs = performance.now() - start;
    }
    finished();
  };

  const pacer = startPacer(schedule, start, startDue);
  const ticker = setInterval(() => {
    recorder.tick();
    options.onProgress?.(next / schedule.total);
  }, 1000);
  await allStarted;
  const drainUntil = performance.now() + drainMs;
  while (inFlight > 0 && performance.now() < drainUntil)
    await new Promise((resolve) => setTimeout(resolve, 10));
  clearInterval(ticker);
  recorder.tick();
  options.onProgress?.(1);
  await pacer.stop();
  for (let lost = 0; lost < inFlight; lost += 1)
    recorder.record("unanswered", schedule.seconds * 1000, undefined);
  return { lag: lag.percentiles(), dropped, late, unanswered: inFlight, maxInFlight: mostInFlight };
}
