import { ALGORITHMS, type AlgorithmName, type KeyState, type LimiterStore } from "@gatewright/rate-limiter";
import { expect } from "vitest";
import { FRESH } from "../../src/algorithms/algorithm.ts";
import { RECEIPT, type Receipt } from "../../src/decision.ts";
import type { Rule } from "../../src/rule.ts";
import { clockOf, type Schedule } from "./schedules.ts";

/** The rule of a schedule. */
export function ruleOf(name: AlgorithmName, { limit }: Schedule): Rule {
  return { ...limit, name: "prop", kind: "user", by: ["user"], algorithm: ALGORITHMS[name], identity: name };
}

/**
 * Plays a schedule, refunds and all, on a counter of its own in a store and on the pure functions: every verdict must be
 * the same. Returns how many were compared.
 */
export async function playOnBoth(
  store: LimiterStore,
  clock: { time: number },
  name: AlgorithmName,
  id: string,
  schedule: Schedule,
): Promise<number> {
  const { step, refund } = ALGORITHMS[name];
  const charges = [{ rule: ruleOf(name, schedule), id }];
  const mode = "enforce";
  const admitted: Receipt[] = [];
  let state: KeyState = FRESH;
  for (const { event, now } of clockOf(schedule)) {
    const back = event.refund > 0 ? admitted.at(-event.refund) : undefined;
    if (back !== undefined) {
      clock.time = now;
      await store.refund(back);
      state = refund(schedule.limit, state, now, back.cost, back.at);
      admitted.splice(-event.refund, 1);
    }
    const request = { tenant: undefined, charges, cost: event.cost, mode, knownMode: mode } as const;
    clock.time = now;
    const decision = await store.check({ ...request, dedupeId: undefined, peek: false });
    const expected = step(schedule.limit, state, now, event.cost);
    if (expected.changed) state = expected;
    const actual = decision.verdicts[0];
    const same =
      actual?.remaining === expected.remaining &&
      actual.resetMs === expected.resetMs &&
      (actual.retryAfterMs ?? -1) === expected.retryAfterMs;
    if (!same) expect.fail(JSON.stringify({ schedule, actual, expected }));
    if (decision[RECEIPT]) admitted.push(decision[RECEIPT]);
  }
  return schedule.events.length;
}
