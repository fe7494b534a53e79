import { describe, expect, it } from "vitest";
import { explain } from "../src/index.ts";
import { error, failed, idempotent } from "./helpers.ts";

describe("explain", () => {
  it("prints the schedule of a failure that stays", () => {
    const text = String(explain({ maxRetries: 2 }, failed(503), idempotent));
    expect(text).toBe(
      [
        "attempt 1 fails → wait 1–200 ms (ceiling 200, full), then retry: is_error",
        "attempt 2 fails → wait 1–400 ms (ceiling 400, full), then retry: is_error",
        "attempt 3 fails → give up: max_retries",
        "longest total wait: 600 ms",
      ].join("\n"),
    );
  });

  it("gives the bounds of every jitter", () => {
    const bounds = (jitter: "none" | "equal" | "decorrelated") => {
      const { steps } = explain({ jitter, maxRetries: 3 }, failed(), idempotent);
      return steps.slice(0, 3).map((step) => [step.minDelayMs, step.maxDelayMs]);
    };
    expect(bounds("none")).toEqual([
      [200, 200],
      [400, 400],
      [800, 800],
    ]);
    expect(bounds("equal")).toEqual([
      [100, 200],
      [200, 400],
      [400, 800],
    ]);
    expect(bounds("decorrelated")).toEqual([
      [200, 600],
      [200, 1_800],
      [200, 5_000],
    ]);
  });

  it("says at once why nothing is retried, by the override of the tool", () => {
    const reset = error({ networkCode: "ECONNRESET" });
    expect(explain({}, reset).steps).toEqual([
      { attempt: 1, decision: expect.objectContaining({ reason: "unsafe_to_repeat" }) },
    ]);
    const policy = { overrides: { "pay_*": { maxRetries: 0 }, read: { repeatUnsafe: true } } };
    const paid = explain(policy, failed(), { ...idempotent, name: "pay_bill" });
    expect(paid.steps[0]?.decision.reason).toBe("max_retries");
    expect(explain(policy, reset, { name: "read" }).steps).toHaveLength(3);
  });
});
