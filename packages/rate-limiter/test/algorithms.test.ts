import { ALGORITHMS, type AlgorithmName, type KeyState, type Limit } from "@gatewright/rate-limiter";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FRESH } from "../src/algorithms/algorithm.ts";
import { clockOf, type Schedule, schedules } from "./support/schedules.ts";

const NAMES = Object.keys(ALGORITHMS) as AlgorithmName[];
const RUNS = { seed: 20_261_120, numRuns: 10_000 };

interface Admitted {
  /** In true time. */
  readonly at: number;
  /** By the clock. */
  readonly takenAt: number;
  readonly cost: number;
}

/** Runs a schedule; returns what was admitted and not refunded. */
function run(name: AlgorithmName, schedule: Schedule): Admitted[] {
  const { step, refund } = ALGORITHMS[name];
  const admitted: Admitted[] = [];
  let state: KeyState = FRESH;
  for (const { event, trueTime, now } of clockOf(schedule)) {
    const back = event.refund > 0 ? admitted.at(-event.refund) : undefined;
    // Not when the clock was set back since and has come past the charge again, which nobody can tell.
    if (back && (back.takenAt > now || now - back.takenAt === trueTime - back.at)) {
      state = refund(schedule.limit, state, now, back.cost, back.takenAt);
      admitted.splice(admitted.indexOf(back), 1);
    }
    const result = step(schedule.limit, state, now, event.cost);
    const { remaining, resetMs, allowed, retryAfterMs } = result;
    // Plain comparisons: `expect` costs more than all the rest, hundreds of thousands of times.
    const sound = remaining >= 0 && Number.isSafeInteger(remaining) && Number.isSafeInteger(resetMs);
    if (!sound || allowed !== (retryAfterMs === 0)) expect.fail(`no verdict: ${JSON.stringify(result)}`);
    if (allowed) admitted.push({ at: trueTime, takenAt: now, cost: event.cost });
    state = result.changed ? result : state;
  }
  return admitted;
}

/** The largest sum over [first, last] of every pair, against a bound of the time between them. */
function expectBound(
  admitted: readonly Admitted[],
  longest: number,
  bound: (elapsed: number) => number,
): void {
  for (let i = 0; i < admitted.length; i++) {
    let sum = 0;
    for (let j = i; j < admitted.length; j++) {
      const elapsed = (admitted[j]?.at ?? 0) - (admitted[i]?.at ?? 0);
      if (elapsed > longest) break;
      sum += admitted[j]?.cost ?? 0;
      if (sum > bound(elapsed)) expect.fail(`${sum} admitted in ${elapsed} ms, bound ${bound(elapsed)}`);
    }
  }
}

function property(name: AlgorithmName, check: (schedule: Schedule) => void, numRuns = RUNS.numRuns): void {
  fc.assert(fc.property(schedules(name, 40), check), { ...RUNS, numRuns });
}

describe("algorithms as pure functions, over random schedules with refunds and clock steps back (10 000 for each bound)", () => {
  it("RL-4 fixed_window never admits more than 2L in any window", () => {
    property("fixed_window", (schedule) => {
      const { limit, windowMs } = schedule.limit;
      expectBound(run("fixed_window", schedule), windowMs - 1, () => 2 * limit);
    });
  });

  it("RL-4 sliding_window admits at most L(1 + t/W) in any interval t up to W", () => {
    property("sliding_window", (schedule) => {
      const { limit, windowMs } = schedule.limit;
      expectBound(run("sliding_window", schedule), windowMs, (elapsed) => limit * (1 + elapsed / windowMs));
    });
  });

  it("RL-4 sliding_window refuses nothing while previous·(1−f) + current + cost is within the limit", () => {
    property("sliding_window", ({ limit, events }) => {
      const { step } = ALGORITHMS.sliding_window;
      let state: KeyState = FRESH;
      let now = 1_700_000_000_000;
      for (const { afterMs, cost } of events) {
        now += afterMs;
        const seen = step(limit, state, now, 0);
        const f = (now - seen.time) / limit.windowMs;
        const estimate = seen.before * (1 - f) + seen.used + cost;
        const result = step(limit, state, now, cost);
        const { allowed } = result;
        if (allowed ? estimate > limit.limit + 1e-6 : estimate <= limit.limit - 1e-6)
          expect.fail(`${allowed ? "admitted" : "refused"} at ${estimate} of ${limit.limit}`);
        state = result.changed ? result : state;
      }
    });
  });

  it("RL-4 sliding_log never admits more than L in any window", () => {
    property("sliding_log", (schedule) => {
      const { limit, windowMs } = schedule.limit;
      expectBound(run("sliding_log", schedule), windowMs - 1, () => limit);
    });
  });

  it("RL-4 gcra with burst 1 never admits more than L in any window", () => {
    property("gcra", (schedule) => {
      const limit = { ...schedule.limit, burst: 1 };
      expectBound(run("gcra", { ...schedule, limit }), limit.windowMs - 1, () => limit.limit);
    });
  });

  it.each(["token_bucket", "gcra"] as const)(
    "RL-4 %s admits at most burst + L·t/W in any interval and is never negative",
    (name) => {
      property(name, (schedule) => {
        const { limit, windowMs, burst } = schedule.limit;
        const bound = (elapsed: number) => burst + (limit * elapsed) / windowMs;
        expectBound(run(name, schedule), Number.POSITIVE_INFINITY, bound);
      });
    },
  );

  it.each(NAMES)("%s: the stated wait is exact, and a shorter one is refused", (name) => {
    const { step } = ALGORITHMS[name];
    property(
      name,
      (schedule) => {
        let state: KeyState = FRESH;
        for (const { event, now } of clockOf(schedule)) {
          const result = step(schedule.limit, state, now, event.cost);
          if (result.retryAfterMs > 0) {
            const at = now + result.retryAfterMs;
            const then = step(schedule.limit, result, at, event.cost);
            const sooner = step(schedule.limit, result, at - 1, event.cost);
            if (!then.allowed || sooner.allowed) expect.fail(JSON.stringify({ result, then, sooner }));
          } else if (result.retryAfterMs < 0 && event.cost <= capacity(name, schedule.limit)) {
            expect.fail(`never, at a cost of ${event.cost}`);
          }
          state = result.changed ? result : state;
        }
      },
      2_000,
    );
  });

  it.each(NAMES)(
    "%s: after the stated reset the whole limit is free, and the state expires by then",
    (name) => {
      const { step, expiresAt } = ALGORITHMS[name];
      property(
        name,
        (schedule) => {
          let state: KeyState = FRESH;
          for (const { event, now } of clockOf(schedule)) {
            const result = step(schedule.limit, state, now, event.cost);
            state = result.changed ? result : state;
            const later = step(schedule.limit, state, now + result.resetMs, 0);
            const free = later.remaining === capacity(name, schedule.limit);
            const kept = state.time <= now && expiresAt(schedule.limit, state) > now + result.resetMs + 1;
            if (!free || kept) expect.fail(JSON.stringify({ result, later, state }));
          }
        },
        2_000,
      );
    },
  );

  it.each(NAMES)("%s: after a refusal there is nothing to store, unless the clock stepped back", (name) => {
    const { step } = ALGORITHMS[name];
    const limit = { limit: 2, windowMs: 60_000, burst: 2 };
    const full = step(limit, FRESH, 1_000_000, 2);
    expect(step(limit, full, 1_000_001, 1)).toMatchObject({ allowed: false, changed: false });
    const back = step(limit, full, 900_000, 1);
    expect(back).toMatchObject({ allowed: false, changed: true });
    expect(back.retryAfterMs).toBeLessThanOrEqual(120_000);
    expect(step(limit, back, 900_000 + back.retryAfterMs, 1).allowed).toBe(true);
  });

  it.each(NAMES)(
    "%s: a refund gives back exactly what was taken, and nothing of an earlier window",
    (name) => {
      const { step, refund } = ALGORITHMS[name];
      const limit = { limit: 10, windowMs: 60_000, burst: 10 };
      const taken = step(limit, FRESH, 1_000_000, 4);
      const returned = refund(limit, taken, 1_000_000, 4, 1_000_000);
      expect(step(limit, returned, 1_000_000, 0).remaining).toBe(10);
      const part = refund(limit, taken, 1_000_000, 1, 1_000_000);
      expect(step(limit, part, 1_000_000, 0).remaining).toBe(7);
      const later = step(limit, taken, 1_120_000, 3);
      const late = refund(limit, later, 1_120_000, 4, 1_000_000);
      expect(step(limit, late, 1_120_000, 0).remaining).toBe(7);
    },
  );

  it.each(["token_bucket", "gcra"] as const)(
    "%s: a refund gives back what is not refilled, and nothing while the clock is behind the charge",
    (name) => {
      const { step, refund } = ALGORITHMS[name];
      const limit = { limit: 10, windowMs: 60_000, burst: 10 };
      const empty = step(limit, FRESH, 1_000_000, 10);
      const left = (now: number) => step(limit, refund(limit, empty, now, 4, 1_000_000), now, 0).remaining;
      expect([1_000_000, 1_012_000, 1_024_000, 1_036_000].map(left)).toEqual([4, 4, 4, 6]);
      expect(left(999_999)).toBe(0);
    },
  );
});

function capacity(name: AlgorithmName, limit: Limit): number {
  return name === "token_bucket" || name === "gcra" ? limit.burst : limit.limit;
}
