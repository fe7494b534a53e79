import type { Check } from "./plan.ts";
import type { SegmentRow } from "./recorder.ts";
import type { RunResult } from "./run-plan.ts";

/** The last step of a ramp that was served well, and how the steps above it fared. */
export interface Knee {
  /** Calls per second at the knee; 0 when no step was served well. */
  readonly rps: number;
  readonly goodput: number;
  /** Goodput of the worst step above the knee, or the knee's own when it is the last step. */
  readonly worstAbove: number;
}

const servedWell = ({ offered, ok, latency }: SegmentRow): boolean =>
  ok >= 0.99 * offered && latency.p95 < 200;

const rateOf = ({ fromSecond, toSecond }: SegmentRow, count: number): number =>
  count / (toSecond - fromSecond);

/** `steps` are the rising part of a ramp, one segment a step. */
export function findKnee(steps: readonly SegmentRow[]): Knee {
  let last = -1;
  while (
    last + 1 < steps.length &&
    steps[last + 1] !== undefined &&
    servedWell(steps[last + 1] as SegmentRow)
  ) {
    last += 1;
  }
  const knee = steps[last];
  const goodput = knee === undefined ? 0 : rateOf(knee, knee.ok);
  const above = steps.slice(last + 1).map((step) => rateOf(step, step.ok));
  return {
    rps: knee === undefined ? 0 : rateOf(knee, knee.offered),
    goodput,
    worstAbove: Math.min(goodput, ...above),
  };
}

/** What must hold of a ramp whose last segment is back at the rate of its first one. */
export function rampChecks({ segments }: RunResult): readonly Check[] {
  const first = segments[0];
  const back = segments.at(-1);
  const knee = findKnee(segments.slice(0, -1));
  const baseline = first?.latency.p95 ?? 0;
  return [
    {
      what: "knee",
      measured: `${knee.rps.toFixed(0)}/s, goodput ${knee.goodput.toFixed(0)}/s`,
      bound: "reported",
      ok: knee.rps > 0,
    },
    {
      what: "goodput above the knee",
      measured: `${knee.worstAbove.toFixed(0)}/s`,
      bound: `≥ 80 % of ${knee.goodput.toFixed(0)}/s`,
      ok: knee.worstAbove >= 0.8 * knee.goodput,
    },
    {
      what: "p95 back at the first rate",
      measured: `${(back?.latency.p95 ?? 0).toFixed(2)} ms`,
      bound: `≤ 1.2 × ${baseline.toFixed(2)} ms, or 250 ms`,
      ok: (back?.latency.p95 ?? Number.POSITIVE_INFINITY) <= Math.max(1.2 * baseline, 250),
    },
  ];
}
