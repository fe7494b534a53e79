import { describe, expect, it } from "vitest";
import { createLatencyHistogram } from "../src/latency-histogram.ts";
import { createRecorder } from "../src/recorder.ts";

describe("latency histogram", () => {
  it("tells percentiles to three digits", () => {
    const histogram = createLatencyHistogram();
    expect(histogram.percentiles()).toMatchObject({ count: 0, p99: 0 });
    for (let ms = 1; ms <= 1_000; ms += 1) histogram.record(ms);
    const { p50, p95, p99, max, mean } = histogram.percentiles();
    for (const [measured, right] of [
      [p50, 500],
      [p95, 950],
      [p99, 990],
      [max, 1_000],
      [mean, 500.5],
    ] as const) {
      expect(Math.abs(measured - right) / right).toBeLessThan(0.002);
    }
  });
});

/** Process figures come from /proc. */
const onLinux = process.platform === "linux" ? it : () => undefined;

describe("recorder", () => {
  it("measures from when a call was due, and counts by outcome and stretch", () => {
    const recorder = createRecorder([1, 2], undefined);
    recorder.record("ok", 100, 130);
    recorder.record("ok", 1_500, 1_510);
    recorder.record("shed", 1_600, 1_601);
    recorder.record("http_500", 1_700, 1_900);
    recorder.record("dropped", 1_800, undefined);
    recorder.tick();
    expect(recorder.outcomes()).toEqual({ ok: 2, shed: 1, http_500: 1, dropped: 1 });
    expect(recorder.latency.percentiles().count).toBe(2);
    expect(recorder.segments()).toMatchObject([
      { fromSecond: 0, toSecond: 1, offered: 1, ok: 1, latency: { count: 1 } },
      { fromSecond: 1, toSecond: 2, offered: 4, ok: 1, shed: 1, errors: 2 },
    ]);
    expect(recorder.seconds()).toMatchObject([
      { second: 1, ok: 2, shed: 1, errors: 2, cpuPercent: undefined },
    ]);
  });

  onLinux("notes time and memory of the measured process", () => {
    const recorder = createRecorder([1], process.pid);
    const until = performance.now() + 50;
    while (performance.now() < until);
    recorder.tick();
    const [row] = recorder.seconds();
    expect(row?.cpuPercent).toBeGreaterThan(0);
    expect(row?.rssMb).toBeGreaterThan(10);
  });
});
