import { describe, expect, it } from "vitest";
import { constant, createSchedule } from "../src/schedule.ts";

describe("schedule", () => {
  it("spaces the calls of a constant rate evenly", () => {
    const schedule = createSchedule([constant(200, 3)]);
    expect(schedule.total).toBe(600);
    expect(schedule.seconds).toBe(3);
    expect([0, 1, 2, 599].map(schedule.offsetOf)).toEqual([0, 5, 10, 2995]);
  });

  it("makes as many calls on a ramp as the area under it", () => {
    const schedule = createSchedule([{ fromRps: 0, toRps: 100, seconds: 10 }]);
    expect(schedule.total).toBe(500);
    // Half of the time a quarter of the calls: 100/s reached at 10 s, so 125 calls by 5 s.
    expect(schedule.offsetOf(125)).toBeCloseTo(5_000, 6);
  });

  it("never goes back, over several stages up and down", () => {
    const schedule = createSchedule([
      constant(100, 1),
      { fromRps: 100, toRps: 2_000, seconds: 2 },
      { fromRps: 2_000, toRps: 50, seconds: 2 },
      constant(50, 1),
    ]);
    let last = -1;
    for (let index = 0; index < schedule.total; index += 1) {
      const offset = schedule.offsetOf(index);
      expect(offset).toBeGreaterThan(last);
      last = offset;
    }
    expect(last).toBeLessThan(6_000);
    expect(schedule.total).toBe(100 + 2_100 + 2_050 + 50);
  });
});
