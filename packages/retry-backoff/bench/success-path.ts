import { recordRow } from "@gatewright/bench";
import { createRetrier, retry } from "@gatewright/retry-backoff";
import { compare } from "./measure.ts";
import { peersFor } from "./peers.ts";

/** A call that succeeds at once, bare and through each library. */
export async function benchSuccessPath(): Promise<void> {
  const work = async () => 1;
  // The least that any library does: it waits for the call within a function of its own.
  const wrap = async <T>(fn: () => Promise<T>): Promise<T> => {
    try {
      return await fn();
    } catch (error) {
      throw error instanceof Error ? error : new Error(String(error));
    }
  };
  const policy = { jitter: "none", baseMs: 1, maxMs: 1 } as const;
  const retrier = createRetrier(policy);
  const plain = createRetrier({ ...policy, budget: false });
  const times = await compare({
    bare: work,
    floor: () => wrap(work),
    ours: () => retry(work, policy),
    "ours, retrier": () => retrier.retry(work),
    "ours, without budget": () => plain.retry(work),
    ...peersFor(work),
  });
  const {
    bare = 0,
    floor = 0,
    ours = 0,
    "ours, retrier": held = 0,
    "ours, without budget": lean = 0,
    ...peers
  } = times;
  const overhead = ours - bare;
  const base = { subject: "retry-backoff", unit: "ns", better: "less" } as const;
  recordRow({
    ...base,
    what: `success path, retry() over a bare call of ${bare.toFixed(0)} ns`,
    ours: overhead,
    peers: Object.fromEntries(Object.entries(peers).map(([name, ns]) => [name, ns - bare])),
    bar: "≤ 100 ns and below every peer",
    met: overhead <= 100 && Object.values(peers).every((ns) => ours < ns),
  });
  recordRow({ ...base, what: "the same, an async function of its own alone", ours: floor - bare, peers: {} });
  recordRow({ ...base, what: "the same, retrier.retry()", ours: held - bare, peers: {} });
  recordRow({ ...base, what: "the same, without a budget", ours: lean - bare, peers: {} });
}
