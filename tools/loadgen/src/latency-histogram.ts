import { build, type Histogram } from "hdr-histogram-js";

/** Percentiles of a set of durations, in milliseconds. */
export interface Percentiles {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** A histogram of durations from 1 µs to 10 minutes, to three digits. */
export interface LatencyHistogram {
  record(ms: number): void;
  reset(): void;
  percentiles(): Percentiles;
  /** The latency in ms at each of the given percentiles, for a plot. */
  curve(percentiles: readonly number[]): readonly number[];
}

const HIGHEST_MICROS = 600_000_000;

export function createLatencyHistogram(): LatencyHistogram {
  const histogram: Histogram = build({
    bitBucketSize: 32,
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_MICROS,
    numberOfSignificantValueDigits: 3,
    useWebAssembly: false,
  });
  const at = (percentile: number): number => histogram.getValueAtPercentile(percentile) / 1000;
  return {
    record(ms) {
      histogram.recordValue(Math.min(HIGHEST_MICROS, Math.max(1, Math.round(ms * 1000))));
    },
    reset: () => histogram.reset(),
    percentiles: () => {
      const count = histogram.totalCount;
      if (count === 0) return { count, mean: 0, p50: 0, p90: 0, p95: 0, p99: 0, p999: 0, max: 0 };
      const { mean, maxValue } = histogram;
      return {
        count,
        mean: mean / 1000,
        p50: at(50),
        p90: at(90),
        p95: at(95),
        p99: at(99),
        p999: at(99.9),
        max: maxValue / 1000,
      };
    },
    curve: (percentiles) => percentiles.map(at),
  };
}
