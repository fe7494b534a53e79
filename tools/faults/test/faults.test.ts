import { createProgressBar } from "@gatewright/bench";
import { describe, expect, it } from "vitest";
import { disturbanceBars, outageBars, refusalBars, successOf } from "../src/bars.ts";
import { planCalls } from "../src/call-plan.ts";
import { inParallel } from "../src/in-parallel.ts";
import { abortBars, runAborts } from "../src/run-aborts.ts";
import { runFaults } from "../src/run-faults.ts";

const unmet = (bars: readonly { what: string; figure: string; met: boolean }[]) =>
  bars.filter((bar) => !bar.met).map((bar) => `${bar.what}: ${bar.figure}`);

// Slow, as each starts a gateway in a process of its own and waits for attempts that hang; so these run at once.
describe.concurrent("attempts that fail, through the gateway", { timeout: 60_000 }, () => {
  it("with 10 % failing attempts no unhinted call is executed twice, and reads succeed", async ({
    expect,
  }) => {
    let progress = 0;
    const report = await runFaults({
      calls: 300,
      share: 0.1,
      concurrency: 16,
      seed: 1,
      attemptTimeoutMs: 3_000,
      onProgress: (ratio) => {
        progress = ratio;
      },
    });
    expect(unmet(disturbanceBars(report))).toEqual([]);
    expect(report.attempts).toBeGreaterThan(300);
    expect(successOf(report, "write")).toBeLessThan(1);
    expect(progress).toBe(1);
  });

  it("with 60 % failing attempts the budget holds the calls down and says so", async ({ expect }) => {
    const report = await runFaults({ calls: 300, share: 0.6, concurrency: 32, seed: 1 });
    expect(unmet(outageBars(report))).toEqual([]);
  });
});

describe("connections that fail, on either side of the gateway", { timeout: 60_000 }, () => {
  it("refused connections cost no call that may be repeated", async () => {
    const report = await runFaults({ calls: 200, share: 0, concurrency: 8, seed: 1, refuseEvery: 50 });
    expect(unmet(refusalBars(report))).toEqual([]);
    expect(report.refusals).toBe(4);
  });

  it("nothing is kept of calls whose clients went away in mid-backoff", async () => {
    const report = await runAborts({ calls: 300, concurrency: 32 });
    expect(unmet(abortBars(report))).toEqual([]);
  });
});

describe("the parts of the run", () => {
  it("the plan is the same every time: half of the calls write", () => {
    const plan = planCalls(40);
    expect(plan).toEqual(planCalls(40));
    expect(plan.filter(({ tool }) => tool === "write")).toHaveLength(20);
    expect(plan.filter(({ tool }) => tool === "read")).toHaveLength(16);
  });

  it("work runs at most so many times at once, and keeps its order", async () => {
    let running = 0;
    let most = 0;
    const results = await inParallel([1, 2, 3, 4, 5], 2, async (item) => {
      most = Math.max(most, ++running);
      await Promise.resolve();
      running--;
      return item * 2;
    });
    expect(results).toEqual([2, 4, 6, 8, 10]);
    expect(most).toBe(2);
  });

  it("the bar is drawn once per percent, and only on a terminal", () => {
    const written: string[] = [];
    const write = (text: string) => written.push(text) > 0;
    const bar = createProgressBar({ isTTY: true, write } as never);
    bar.update("run", 0.5);
    bar.update("run", 0.501);
    bar.clear();
    expect(written).toHaveLength(2);
    expect(written[0]).toContain("50 %");
    createProgressBar({ isTTY: false, write } as never).update("run", 0.1);
    expect(written).toHaveLength(2);
  });
});
