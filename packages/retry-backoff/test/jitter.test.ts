import { seededRandom } from "@gatewright/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { delayCeiling, drawDelay } from "../src/plugin/index.ts";

const base = { baseMs: 200, maxMs: 5_000 };

describe("delays", () => {
  it("RB-1 without jitter doubles from the base up to the maximum", () => {
    const delays = [1, 2, 3, 4, 5, 6, 7].map((n) => drawDelay(n, { ...base, jitter: "none" }, Math.random));
    expect(delays).toEqual([200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  });

  it("RB-1 full jitter stays within [1, ceiling] with a mean near half of it over a million draws", () => {
    const random = seededRandom(1);
    for (const [failure, ceiling] of [
      [1, 200],
      [6, 5_000],
    ] as const) {
      let sum = 0;
      let least = Number.POSITIVE_INFINITY;
      let most = 0;
      for (let i = 0; i < 500_000; i++) {
        const delay = drawDelay(failure, { ...base, jitter: "full" }, random);
        sum += delay;
        if (delay < least) least = delay;
        if (delay > most) most = delay;
      }
      expect(least).toBe(1);
      expect(most).toBe(ceiling);
      expect(sum / 500_000 / (ceiling / 2)).toBeCloseTo(1, 1);
    }
  });

  it("draws whole milliseconds up to the ceiling, also of one with a fraction", () => {
    for (const jitter of ["none", "full", "equal", "decorrelated"] as const) {
      for (const r of [0, 0.3, 0.7, 0.999_999]) {
        const delay = drawDelay(1, { baseMs: 1.5, maxMs: 1.7, jitter }, () => r);
        expect(delay).toBe(1);
      }
    }
  });

  it("never draws zero, so that a delay never reads as giving up", () => {
    for (const jitter of ["none", "full", "equal", "decorrelated"] as const) {
      expect(drawDelay(1, { baseMs: 1, maxMs: 1, jitter }, () => 0)).toBe(1);
    }
  });

  it("equal jitter draws at least half the ceiling", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.double({ min: 0, max: 0.999999, noNaN: true }),
        (n, r) => {
          const ceiling = delayCeiling(n, { ...base, jitter: "equal" });
          const delay = drawDelay(n, { ...base, jitter: "equal" }, () => r);
          return delay >= Math.floor(ceiling / 2) && delay <= ceiling;
        },
      ),
    );
  });

  it("decorrelated jitter stays between the base and three times the previous delay, below the maximum", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 200, max: 5_000 }),
        fc.double({ min: 0, max: 0.999999, noNaN: true }),
        (previous, r) => {
          const delay = drawDelay(3, { ...base, jitter: "decorrelated" }, () => r, previous);
          return delay >= 200 && delay <= Math.min(5_000, previous * 3);
        },
      ),
    );
  });

  it("full jitter is within its bounds for every base, maximum, failure and draw", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 0, max: 100_000 }),
        fc.integer({ min: 1, max: 2_000 }),
        fc.double({ min: 0, max: 0.999999999, noNaN: true }),
        (baseMs, more, failure, r) => {
          const options = { baseMs, maxMs: baseMs + more, jitter: "full" as const };
          const delay = drawDelay(failure, options, () => r);
          return Number.isInteger(delay) && delay >= 1 && delay <= delayCeiling(failure, options);
        },
      ),
    );
  });
});
