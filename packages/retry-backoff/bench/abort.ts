import { recordRow } from "@gatewright/bench";
import { createRetrier } from "@gatewright/retry-backoff";
import { ConstantBackoff, retry as cockatielRetry, handleAll } from "cockatiel";
import pRetry from "p-retry";
import { median } from "./measure.ts";

const SLEEP_MS = 5_000;
const GIVE_UP_MS = 1_000;

/** Time from an abort during a sleep of 5 s to the end of the call, and the calls made after the abort. */
async function abortLatency(run: (signal: AbortSignal, work: () => Promise<never>) => Promise<unknown>) {
  const controller = new AbortController();
  let calls = 0;
  const failed = new Promise<void>((resolve) => {
    const work = async () => {
      calls++;
      resolve();
      throw new Error("no");
    };
    void run(controller.signal, work as () => Promise<never>)
      .catch(() => {})
      .finally(() => (settledAt = performance.now()));
  });
  let settledAt: number | undefined;
  await failed;
  await new Promise((resolve) => setTimeout(resolve, 20));
  const abortedAt = performance.now();
  controller.abort();
  while (settledAt === undefined && performance.now() - abortedAt < GIVE_UP_MS) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return { ms: (settledAt ?? performance.now()) - abortedAt, calls: calls - 1 };
}

/** The median of a few, against the peers that take a signal; {@link GIVE_UP_MS} stands for "sleeps on". */
export async function benchAbort(): Promise<void> {
  const retrier = createRetrier({ jitter: "none", baseMs: SLEEP_MS, maxMs: SLEEP_MS, budget: false });
  const cockatiel = cockatielRetry(handleAll, { maxAttempts: 2, backoff: new ConstantBackoff(SLEEP_MS) });
  const runs = {
    ours: (signal: AbortSignal, work: () => Promise<never>) =>
      retrier.retry(work, { idempotent: true, signal }),
    cockatiel: (signal: AbortSignal, work: () => Promise<never>) => cockatiel.execute(work, signal),
    "p-retry": (signal: AbortSignal, work: () => Promise<never>) =>
      pRetry(work, { retries: 2, minTimeout: SLEEP_MS, maxTimeout: SLEEP_MS, signal }),
  };
  const results: Record<string, number> = {};
  let furtherCalls = 0;
  for (const [name, run] of Object.entries(runs)) {
    const latencies: number[] = [];
    for (let i = 0; i < (name === "ours" ? 21 : 3); i++) {
      const { ms, calls } = await abortLatency(run);
      latencies.push(ms);
      if (name === "ours") furtherCalls += calls;
    }
    results[name] = median(latencies);
  }
  const { ours = Number.NaN, ...peers } = results;
  recordRow({
    subject: "retry-backoff",
    what: `abort during a sleep of 5 s (${furtherCalls} further calls; ${GIVE_UP_MS} = sleeps on)`,
    unit: "ms",
    better: "less",
    ours,
    peers,
    bar: "≤ 20 ms, 0 further calls",
    met: ours <= 20 && furtherCalls === 0,
  });
}
