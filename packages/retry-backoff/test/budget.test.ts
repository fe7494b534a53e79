import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBudget, RetryError } from "../src/index.ts";
import { fakeTime } from "./helpers.ts";

describe("createBudget", () => {
  it("RB-7 grants one retry for five calls at ratio 0.2 without a floor", () => {
    const budget = createBudget({ ratio: 0.2, floorPerSecond: 0 });
    expect(budget.withdraw().granted).toBe(false);
    for (let i = 0; i < 5; i++) budget.deposit();
    expect(budget.withdraw()).toEqual({ granted: true, remaining: 0 });
    expect(budget.withdraw()).toEqual({ granted: false, remaining: 0, refusedBy: "global" });
  });

  it("RB-7 never lets calls exceed 1.2 times the requests, whatever the order of calls and retries", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 2_000 }), (steps) => {
        const budget = createBudget({ ratio: 0.2, floorPerSecond: 0 });
        let requests = 0;
        let retries = 0;
        for (const request of steps) {
          if (request) {
            requests++;
            budget.deposit({ tool: "t" });
          } else if (budget.withdraw({ tool: "t" }).granted) retries++;
        }
        return retries <= requests * 0.2 + 1e-6;
      }),
    );
  });

  it("keeps a floor for low traffic that refills with time", () => {
    const { clock, fake } = fakeTime();
    const budget = createBudget({ ratio: 0, floorPerSecond: 2 }, { clock });
    const grants = () => [1, 2, 3].map(() => budget.withdraw().granted);
    expect(grants()).toEqual([true, true, false]);
    fake.advanceSync(500);
    expect(grants()).toEqual([true, false, false]);
    fake.advanceSync(60_000);
    expect(grants()).toEqual([true, true, false]);
  });

  it("grants one retry now and then where the floor is below one a second", () => {
    const { clock, fake } = fakeTime();
    const budget = createBudget({ ratio: 0, floorPerSecond: 0.5 }, { clock });
    expect([1, 2].map(() => budget.withdraw().granted)).toEqual([true, false]);
    fake.advanceSync(1_900);
    expect(budget.withdraw().granted).toBe(false);
    fake.advanceSync(100);
    expect([1, 2].map(() => budget.withdraw().granted)).toEqual([true, false]);
  });

  it("a clock that steps back takes nothing away and gives nothing twice", () => {
    let now = 10_000;
    const clock = { now: () => now, setTimer: () => () => {} };
    const budget = createBudget({ ratio: 0, floorPerSecond: 2 }, { clock });
    const left = () => budget.accounts()[0]?.remaining;
    expect([1, 2, 3].map(() => budget.withdraw().granted)).toEqual([true, true, false]);
    now = 0;
    expect(left()).toBe(0);
    now = 10_000;
    expect(left()).toBe(0);
    now = 10_500;
    expect(left()).toBe(1);
  });

  it("saves up at most the burst", () => {
    const budget = createBudget({ ratio: 1, floorPerSecond: 0, burst: 3 });
    for (let i = 0; i < 100; i++) budget.deposit();
    expect([1, 2, 3, 4].map(() => budget.withdraw().granted)).toEqual([true, true, true, false]);
  });

  it("takes from the counters of tool, server, tenant and the whole, or from none", () => {
    const budget = createBudget({ ratio: 0.5, floorPerSecond: 0 });
    const busy = { tool: "busy", server: "s", tenant: "t" };
    for (let i = 0; i < 4; i++) budget.deposit(busy);
    for (const [scope, refusedBy] of [
      [{ ...busy, tool: "quiet" }, "tool"],
      [{ ...busy, server: "other" }, "server"],
      [{ ...busy, tenant: "other" }, "tenant"],
    ] as const) {
      expect(budget.withdraw(scope)).toEqual({ granted: false, remaining: 0, refusedBy });
    }
    expect([1, 2, 3].map(() => budget.withdraw(busy).granted)).toEqual([true, true, false]);
    const counts = budget.accounts().map(({ level, id, granted, refused }) => [level, id, granted, refused]);
    expect(counts).toEqual([
      ["global", "", 2, 1],
      ["tool", "busy", 2, 0],
      ["tool", "quiet", 0, 1],
      ["server", "s", 2, 0],
      ["server", "other", 0, 1],
      ["tenant", "t", 2, 0],
      ["tenant", "other", 0, 1],
    ]);
  });

  it("one noisy tool cannot use up the retries of another", () => {
    const budget = createBudget({ ratio: 0.2, floorPerSecond: 0 });
    for (let i = 0; i < 50; i++) budget.deposit({ tool: "a" });
    for (let i = 0; i < 50; i++) budget.deposit({ tool: "b" });
    let granted = 0;
    while (budget.withdraw({ tool: "a" }).granted) granted++;
    expect(granted).toBe(10);
    expect(budget.withdraw({ tool: "b" }).granted).toBe(true);
  });

  it("keeps a bounded number of counters and the ones in use", () => {
    const budget = createBudget({ ratio: 1, floorPerSecond: 0, maxKeys: 100, burst: 1_000_000 });
    for (let i = 0; i < 5_000; i++) {
      budget.deposit({ tool: `t${i}` });
      budget.deposit({ tool: "busy" });
    }
    expect(budget.accounts().length).toBeLessThanOrEqual(101);
    expect(budget.withdraw({ tool: "busy" }).remaining).toBeGreaterThan(4_900);
  });

  it("refuses bad options", () => {
    expect(() => createBudget({ ratio: 3 })).toThrow(/ratio/);
    expect(RetryError.is(new RetryError("deadline", "x"))).toBe(true);
    expect(RetryError.is(null)).toBe(false);
  });
});
