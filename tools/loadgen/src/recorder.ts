import { createLatencyHistogram, type LatencyHistogram, type Percentiles } from "./latency-histogram.ts";
import { processUsage } from "./process-usage.ts";

/** How a call ended: `ok`, `shed` (refused under load: 429, 503), or an error named by its kind. */
export type Outcome = string;

/** One second of a run, by the time at which calls ended. */
export interface SecondRow {
  readonly second: number;
  readonly ok: number;
  readonly shed: number;
  readonly errors: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  /** Of one core, of the measured process. */
  readonly cpuPercent: number | undefined;
  readonly rssMb: number | undefined;
}

/** One stretch of a run, by the time at which its calls were due. */
export interface SegmentRow {
  readonly fromSecond: number;
  readonly toSecond: number;
  readonly offered: number;
  readonly ok: number;
  readonly shed: number;
  readonly errors: number;
  readonly latency: Percentiles;
}

/** Collects what happened in one run. */
export interface Recorder {
  /** `dueMs` and `endMs` are milliseconds after the start; a call that never started has no end. */
  record(outcome: Outcome, dueMs: number, endMs: number | undefined): void;
  /** Closes the current second's row; called once a second. */
  tick(): void;
  readonly latency: LatencyHistogram;
  outcomes(): Readonly<Record<Outcome, number>>;
  seconds(): readonly SecondRow[];
  segments(): readonly SegmentRow[];
}

interface Segment {
  readonly from: number;
  readonly to: number;
  readonly latency: LatencyHistogram;
  ok: number;
  shed: number;
  errors: number;
}

const MIB = 1024 * 1024;

/** `bounds` are the seconds at which segments end, ascending; `pid` is the process whose use is noted, if any. */
export function createRecorder(bounds: readonly number[], pid: number | undefined): Recorder {
  const total = createLatencyHistogram();
  const window = createLatencyHistogram();
  const outcomes = new Map<Outcome, number>();
  const rows: SecondRow[] = [];
  const segments: Segment[] = bounds.map((to, index) => ({
    from: bounds[index - 1] ?? 0,
    to,
    latency: createLatencyHistogram(),
    ok: 0,
    shed: 0,
    errors: 0,
  }));
  let current = { ok: 0, shed: 0, errors: 0 };
  let lastUsage = pid === undefined ? undefined : processUsage(pid);
  let lastTick = performance.now();

  const segmentOf = (dueMs: number): Segment | undefined => {
    const second = dueMs / 1000;
    return segments.find(({ to }) => second < to) ?? segments.at(-1);
  };
  const add = (counts: { ok: number; shed: number; errors: number }, outcome: Outcome): void => {
    if (outcome === "ok") counts.ok += 1;
    else if (outcome === "shed") counts.shed += 1;
    else counts.errors += 1;
  };

  return {
    latency: total,
    record(outcome, dueMs, endMs) {
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      add(current, outcome);
      const segment = segmentOf(dueMs);
      if (segment) add(segment, outcome);
      if (endMs === undefined || outcome !== "ok") return;
      total.record(endMs - dueMs);
      window.record(endMs - dueMs);
      segment?.latency.record(endMs - dueMs);
    },
    tick() {
      const now = performance.now();
      const usage = pid === undefined ? undefined : processUsage(pid);
      const cpuMicros =
        usage?.cpuMicros === undefined || lastUsage?.cpuMicros === undefined
          ? undefined
          : usage.cpuMicros - lastUsage.cpuMicros;
      const { p50, p95, p99 } = window.percentiles();
      rows.push({
        second: rows.length + 1,
        ...current,
        p50,
        p95,
        p99,
        cpuPercent: cpuMicros === undefined ? undefined : cpuMicros / 10 / (now - lastTick),
        rssMb: usage?.rssBytes === undefined ? undefined : usage.rssBytes / MIB,
      });
      current = { ok: 0, shed: 0, errors: 0 };
      window.reset();
      lastUsage = usage;
      lastTick = now;
    },
    outcomes: () => Object.fromEntries(outcomes),
    seconds: () => rows,
    segments: () =>
      segments.map(({ from, to, latency, ok, shed, errors }) => ({
        fromSecond: from,
        toSecond: to,
        offered: ok + shed + errors,
        ok,
        shed,
        errors,
        latency: latency.percentiles(),
      })),
  };
}
