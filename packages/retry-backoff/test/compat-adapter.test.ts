import { describe, expect, it } from "vitest";
import { createCompatAdapter } from "../src/plugin/index.ts";
import { failed, fakeTime, idempotent, result } from "./helpers.ts";

describe("createCompatAdapter", () => {
  const call = (tool: string, requestId: string) => ({ tool, requestId, ...idempotent });

  it("counts failures per tool and request, and starts anew after a success or a give-up", () => {
    const adapter = createCompatAdapter({ maxRetries: 1, budget: false });
    const reasons = (tool: string, id: string) => adapter.onOutcome(call(tool, id), failed()).reason;
    expect([reasons("a", "1"), reasons("a", "2"), reasons("b", "1")]).toEqual([
      "is_error",
      "is_error",
      "is_error",
    ]);
    expect([reasons("a", "1"), reasons("a", "1")]).toEqual(["max_retries", "is_error"]);
    adapter.onOutcome(call("a", "2"), result({}));
    expect(reasons("a", "2")).toBe("is_error");
  });

  it("keeps keys apart that would collide when joined", () => {
    const adapter = createCompatAdapter({ maxRetries: 1, budget: false });
    const reasons = [
      ["a", "b:c"],
      ["a:b", "c"],
      ["1:a", "b"],
      ["1", ":ab"],
    ].map(([tool = "", id = ""]) => adapter.onOutcome(call(tool, id), failed()).reason);
    expect(new Set(reasons)).toEqual(new Set(["is_error"]));
    expect(adapter.size).toBe(4);
  });

  it("forgets what it has not heard of for its time to live, and what it is told to", () => {
    const { clock, fake } = fakeTime();
    const adapter = createCompatAdapter({ maxRetries: 1, budget: false }, { clock, ttlMs: 1_000 });
    adapter.onOutcome(call("a", "1"), failed());
    fake.advanceSync(1_000);
    expect(adapter.onOutcome(call("a", "1"), failed()).reason).toBe("is_error");
    adapter.onOutcome(call("a", "2"), failed());
    for (const id of ["3", "4"]) {
      fake.advanceSync(1_000);
      adapter.onOutcome(call("a", id), failed());
    }
    expect(adapter.size).toBe(2);
    adapter.forget("a", "3");
    adapter.forget("a", "4");
    expect(adapter.size).toBe(0);
  });

  it("remembers at most maxEntries", () => {
    const adapter = createCompatAdapter({ budget: false }, { maxEntries: 50 });
    for (let i = 0; i < 1_000; i++) adapter.onOutcome(call("a", String(i)), failed());
    expect(adapter.size).toBeLessThanOrEqual(50);
    expect(adapter.size).toBeGreaterThanOrEqual(25);
    expect(adapter.onOutcome(call("a", "999"), failed())).toMatchObject({ attempt: 3 });
  });

  it("has a budget per tool like everything else, and feeds decorrelated jitter", () => {
    const poor = createCompatAdapter({ budget: { ratio: 0, floorPerSecond: 1 } });
    expect(poor.onOutcome(call("a", "1"), failed()).reason).toBe("is_error");
    expect(poor.onOutcome(call("a", "2"), failed()).reason).toBe("budget_exhausted");
    const jittery = createCompatAdapter(
      { jitter: "decorrelated", budget: false },
      { random: () => 0.999999 },
    );
    const delays = [1, 2].map(() => jittery.onOutcome(call("a", "1"), failed()));
    expect(delays).toMatchObject([{ delayMs: 600 }, { delayMs: 1_800 }]);
  });
});
