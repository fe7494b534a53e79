import { recordRow } from "@gatewright/bench";
import { createRetrier } from "@gatewright/retry-backoff";
import { compare } from "./measure.ts";
import { peersFor } from "./peers.ts";

/** A call that fails once and then succeeds, after a delay of 1 ms; a hundred at a time. */
export async function benchFailingPath(): Promise<void> {
  const error = new Error("no");
  const flaky = () => {
    let calls = 0;
    return async () => {
      if (calls++ === 0) throw error;
      return 1;
    };
  };
  const retrier = createRetrier({ jitter: "none", baseMs: 1, maxMs: 1, budget: false });
  const batch = (run: () => Promise<unknown>) => () => Promise.all(Array.from({ length: 100 }, run));
  const contenders = {
    ours: batch(() => retrier.retry(flaky(), { idempotent: true })),
    ...Object.fromEntries(
      Object.keys(peersFor(async () => 1))
        .filter((name) => name !== "opossum")
        .map((name) => [name, batch(() => (peersFor(flaky())[name] as () => Promise<unknown>)())]),
    ),
  };
  const times = await compare(contenders, { rounds: 7, calls: 20 });
  const { ours = 0, ...peers } = times;
  const perCall = (ns: number) => ns / 100 / 1_000;
  recordRow({
    subject: "retry-backoff",
    what: "one failure, then success, 1 ms of delay, 100 calls at once, per call",
    unit: "µs",
    better: "less",
    ours: perCall(ours),
    peers: Object.fromEntries(Object.entries(peers).map(([name, ns]) => [name, perCall(ns)])),
  });
}
