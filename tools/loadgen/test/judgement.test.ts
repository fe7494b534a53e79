import { describe, expect, it } from "vitest";
import { barChecks, median } from "../src/bar-checks.ts";
import {
  errorsAtMost,
  fairUsers,
  latencyBelow,
  rateReached,
  steadyLatency,
  steadyMemory,
} from "../src/checks.ts";
import { findKnee, rampChecks } from "../src/knee.ts";
import type { Percentiles } from "../src/latency-histogram.ts";
import type { SecondRow, SegmentRow } from "../src/recorder.ts";
import type { RunResult } from "../src/run-plan.ts";

const latency = (p95: number): Percentiles => ({
  count: 1,
  mean: p95,
  p50: p95 / 2,
  p90: p95,
  p95,
  p99: p95 * 2,
  p999: p95 * 2,
  max: p95 * 2,
});

const segment = (second: number, offered: number, ok: number, p95: number): SegmentRow => ({
  fromSecond: second,
  toSecond: second + 1,
  offered,
  ok,
  shed: offered - ok,
  errors: 0,
  latency: latency(p95),
});

const second = (rssMb: number): SecondRow => ({
  second: 1,
  ok: 0,
  shed: 0,
  errors: 0,
  p50: 0,
  p95: 0,
  p99: 0,
  cpuPercent: 1,
  rssMb,
});

const run = (change: Partial<RunResult> = {}): RunResult => ({
  target: "gateway",
  kind: "open",
  seconds: 10,
  offered: 1_000,
  ok: 1_000,
  outcomes: { ok: 1_000 },
  achievedRps: 100,
  latency: latency(10),
  curve: [],
  generator: { lag: latency(0.1), dropped: 0, late: 0, unanswered: 0, maxInFlight: 1 },
  isVoid: false,
  cpuMicrosPerCall: 100,
  perSecond: [],
  segments: [],
  answeredByUser: [10, 10],
  ...change,
});

describe("checks", () => {
  it("hold at their bound and not beyond", () => {
    expect(latencyBelow(run(), "p95", 10.1).ok).toBe(true);
    expect(latencyBelow(run(), "p95", 10).ok).toBe(false);
    expect(errorsAtMost(run({ ok: 999 }), 0.001).ok).toBe(true);
    expect(errorsAtMost(run({ ok: 999 }), 0).ok).toBe(false);
    expect(rateReached(run(), 100).ok).toBe(true);
    expect(rateReached(run(), 100.1).ok).toBe(false);
    expect(fairUsers(run({ answeredByUser: [10, 20] }), 2).ok).toBe(true);
    expect(fairUsers(run({ answeredByUser: [10, 21] }), 2).ok).toBe(false);
    expect(fairUsers(run({ answeredByUser: [0, 0] }), 2).ok).toBe(false);
  });

  it("see a latency that creeps up and memory that grows", () => {
    const creeping = (last: number) => run({ segments: [segment(0, 1, 1, 10), segment(1, 1, 1, last)] });
    expect(steadyLatency(creeping(12)).ok).toBe(true);
    expect(steadyLatency(creeping(12.1)).ok).toBe(false);
    const memory = (...mb: number[]) => run({ perSecond: mb.map(second) });
    expect(steadyMemory(memory(50, 90, 100, 104)).ok).toBe(true);
    expect(steadyMemory(memory(50, 90, 100, 106)).ok).toBe(false);
    expect(steadyMemory(memory(50)).measured).toBe("n/a");
  });
});

describe("knee", () => {
  const ramp = [segment(0, 100, 100, 5), segment(1, 1_000, 1_000, 20), segment(2, 3_000, 1_500, 900)];

  it("is the last step that was served well", () => {
    expect(findKnee(ramp)).toEqual({ rps: 1_000, goodput: 1_000, worstAbove: 1_000 });
    expect(findKnee([segment(0, 100, 50, 5)])).toMatchObject({ rps: 0 });
  });

  it("fails a gateway that collapses above it or does not come back", () => {
    const verdicts = (last: SegmentRow, above = ramp[2] as SegmentRow) =>
      rampChecks(run({ segments: [ramp[0] as SegmentRow, ramp[1] as SegmentRow, above, last] })).map(
        ({ ok }) => ok,
      );
    expect(verdicts(segment(3, 100, 100, 6))).toEqual([true, true, true]);
    expect(verdicts(segment(3, 100, 100, 6), segment(2, 3_000, 700, 900))).toEqual([true, false, true]);
    expect(verdicts(segment(3, 100, 100, 400))).toEqual([true, true, false]);
  });
});

describe("bars", () => {
  it("take the median of the rounds, and the ratio within each round", () => {
    expect(median([3, undefined, 1, 2])).toBe(2);
    expect(median([1, 2])).toBe(1.5);
    expect(median([])).toBeUndefined();
    const rounds = (...micros: number[]) => micros.map((cpuMicrosPerCall) => run({ cpuMicrosPerCall }));
    const judge = (late: number, floor: readonly number[] = [], own = [140, 700, 150]) =>
      barChecks({
        gateway: rounds(...own),
        bareProxy: rounds(100, 500, 100),
        leastProxy: rounds(60, 300, 60),
        plainGateway: rounds(...floor),
        direct: rounds(50, 250, 50),
        rps: 100,
        earlyCalls: 20_000,
        lateCalls: 100_000,
        early: { usedBytes: 100, totalBytes: 200 },
        late: { usedBytes: late, totalBytes: 200 },
      }).map(({ measured, ok }) => [measured, ok]);
    expect(judge(105).slice(0, 2)).toEqual([
      ["150.00 µs", true],
      ["1.40 ×", true],
    ]);
    expect(judge(105, [120, 600, 120]).map(([, ok]) => ok)).toEqual([
      true,
      true,
      true,
      true,
      true,
      true,
      true,
    ]);
    expect(judge(106).at(-1)?.[1]).toBe(false);
    // Over the bars, but within half of what the same work costs without our code; then not even that.
    const slow = [200, 1_000, 200];
    expect(judge(105, [140, 700, 140], slow).map(([, ok]) => ok)).toEqual([
      true,
      true,
      true,
      true,
      true,
      true,
      true,
    ]);
    expect(judge(105, [120, 600, 120], slow).map(([, ok]) => ok)).toEqual([
      false,
      false,
      true,
      false,
      true,
      true,
      true,
    ]);
  });
});
