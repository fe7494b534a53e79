import type { Check } from "./plan.ts";
import type { SecondRow } from "./recorder.ts";
import type { RunResult } from "./run-plan.ts";

const ms = (value: number): string => `${value.toFixed(2)} ms`;

/** A percentile of the latency is below a bound. */
export const latencyBelow = (
  { latency }: RunResult,
  percentile: "p50" | "p95" | "p99",
  boundMs: number,
): Check => ({
  what: `${percentile} latency`,
  measured: ms(latency[percentile]),
  bound: `< ${boundMs} ms`,
  ok: latency[percentile] < boundMs,
});

/** At most this share of the calls was not answered with a result. */
export const errorsAtMost = ({ offered, ok }: RunResult, share: number): Check => {
  const errors = offered - ok;
  return {
    what: "errors",
    measured: `${errors} of ${offered}`,
    bound: share === 0 ? "0" : `< ${share * 100} %`,
    ok: errors <= offered * share,
  };
};

/** The asked rate was really reached. */
export const rateReached = ({ achievedRps }: RunResult, rps: number): Check => ({
  what: "achieved rate",
  measured: `${achievedRps.toFixed(1)}/s`,
  bound: `≥ ${rps}/s`,
  ok: achievedRps >= rps,
});

/** Timings below this differ by chance. */
const NOISE_MS = 1;

/** The last tenth is no slower than the first. */
export const steadyLatency = ({ segments }: RunResult): Check => {
  const first = segments[0]?.latency.p95 ?? 0;
  const last = segments.at(-1)?.latency.p95 ?? 0;
  return {
    what: "p95 of the last tenth",
    measured: ms(last),
    bound: `≤ 1.2 × first tenth (${ms(first)})`,
    ok: last <= Math.max(1.2 * first, first + NOISE_MS),
  };
};

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

const rssOf = (rows: readonly SecondRow[]): readonly number[] =>
  rows.map(({ rssMb }) => rssMb).filter((value) => value !== undefined);

/** Memory in the last quarter is what it was in the third, but for 5 %. */
export const steadyMemory = ({ perSecond }: RunResult): Check => {
  const rss = rssOf(perSecond);
  const quarter = Math.floor(rss.length / 4);
  const third = mean(rss.slice(2 * quarter, 3 * quarter));
  const fourth = mean(rss.slice(3 * quarter));
  return {
    what: "RSS, last quarter",
    measured: quarter === 0 ? "n/a" : `${fourth.toFixed(1)} MB`,
    bound: `≤ 1.05 × third quarter (${third.toFixed(1)} MB)`,
    ok: quarter === 0 || fourth <= 1.05 * third,
  };
};

/** No user got more than `ratio` times the answers of another. */
export const fairUsers = ({ answeredByUser }: RunResult, ratio: number): Check => {
  const most = Math.max(...answeredByUser);
  const least = Math.min(...answeredByUser);
  return {
    what: "fairness, most/least answers of a user",
    measured: `${most}/${least}`,
    bound: `≤ ${ratio}`,
    ok: least > 0 && most / least <= ratio,
  };
};
