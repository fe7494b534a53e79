import { createLatencyHistogram } from "./latency-histogram.ts";
import type { Caller, GeneratorReport } from "./open-loop.ts";
import type { Recorder } from "./recorder.ts";

/** A run at a constant concurrency: each of the callers makes its next call when its last one is answered. */
export interface ClosedLoopOptions {
  readonly concurrency: number;
  readonly seconds: number;
  readonly call: Caller;
  readonly recorder: Recorder;
  readonly onProgress?: (ratio: number) => void;
}

/**
 * Holds `concurrency` calls in flight. Caller `n` makes the calls n, n + concurrency, …, so that with as many users
 * each user is one caller. Latency is measured from when a call is sent: at a fixed concurrency nothing is due.
 */
export async function runClosedLoop(options: ClosedLoopOptions): Promise<GeneratorReport> {
  const { concurrency, call, recorder } = options;
  const start = performance.now();
  const end = start + options.seconds * 1000;

  const ticker = setInterval(() => {
    recorder.tick();
    options.onProgress?.(Math.min(1, (performance.now() - start) / (end - start)));
  }, 1000);
  const callAgain = async (index: number): Promise<void> => {
    for (let round = 0; performance.now() < end; round += 1) {
      const sentMs = performance.now() - start;
      await new Promise<void>((resolve) => {
        call(index + round * concurrency, (outcome) => {
          recorder.record(outcome, sentMs, performance.now() - start);
          resolve();
        });
      });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, (_, index) => callAgain(index)));
  clearInterval(ticker);
  recorder.tick();
  options.onProgress?.(1);
  const lag = createLatencyHistogram().percentiles();
  return { lag, dropped: 0, late: 0, unanswered: 0, maxInFlight: concurrency };
}
