import type { HeapReading } from "./heap-probe.ts";
import type { Check } from "./plan.ts";
import type { RunResult } from "./run-plan.ts";

/** What the bars of one gateway process are judged by: gateway, proxies and plain gateway once a round, the upstream directly in some. */
export interface BarMeasurements {
  readonly gateway: readonly RunResult[];
  readonly bareProxy: readonly RunResult[];
  readonly leastProxy: readonly RunResult[];
  readonly plainGateway: readonly RunResult[];
  readonly direct: readonly RunResult[];
  readonly rps: number;
  readonly earlyCalls: number;
  readonly lateCalls: number;
  readonly early: HeapReading;
  readonly late: HeapReading;
}

/** What a gateway has to keep. */
export interface Bars {
  readonly cpuMicros: number;
  /** Undefined: told, not judged. */
  readonly timesBareProxy: number | undefined;
}

/** A figure that misses its bar still holds at so many times the floor: the same work in the same run without our code. */
const TIMES_FLOOR = 1.5;

/** A small call with everything on; the performance plan tightens this later. */
export const FULL_BARS: Bars = { cpuMicros: 150, timesBareProxy: 1.5 };
/** Without plugins, in a revision without sessions: what passing through costs. */
export const PASS_THROUGH_BARS: Bars = { cpuMicros: 120, timesBareProxy: undefined };
/** Between a revision with sessions and one without. */
export const BRIDGED_BARS: Bars = { cpuMicros: 180, timesBareProxy: undefined };
/** With a result of 50 KB. */
export const LARGE_RESULT_BARS: Bars = { cpuMicros: 250, timesBareProxy: undefined };

const ADDED_P50_MS = 1;
const HEAP_GROWTH = 1.05;

/** The middle of the known values; undefined when there are none. */
export function median(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  const middle = Math.floor(known.length / 2);
  const upper = known[middle];
  if (upper === undefined || known.length % 2 === 1) return upper;
  return (upper + (known[middle - 1] ?? upper)) / 2;
}

const mib = ({ usedBytes }: HeapReading): string => `${(usedBytes / 1024 / 1024).toFixed(2)} MB`;

const atMost = (what: string, value: number | undefined, bound: number | undefined, unit: string): Check => ({
  what,
  measured: value === undefined ? "n/a" : `${value.toFixed(2)} ${unit}`,
  bound: bound === undefined ? "told only" : `≤ ${bound} ${unit}`,
  ok: bound === undefined || (value !== undefined && value <= bound),
});

/** A check that also holds where the floor does. */
const orFloor = (check: Check, timesFloor: number | undefined): Check => ({
  ...check,
  bound:
    timesFloor === undefined || check.bound === "told only" ? check.bound : `${check.bound}, or the floor`,
  ok: check.ok || (timesFloor !== undefined && timesFloor <= TIMES_FLOOR),
});

/** The least of the known values: what the code takes where nothing disturbs it. */
export function least(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

/** What a call costs. The floor is judged only where a bar is missed: it then stands in for the bars. */
function costChecks(
  micros: number | undefined,
  timesBare: number | undefined,
  timesLeast: number | undefined,
  timesFloor: number | undefined,
  bars: Bars,
): readonly Check[] {
  const own = [
    atMost("CPU per call of the gateway", micros, bars.cpuMicros, "µs"),
    atMost("the same, as a multiple of the bare proxy", timesBare, bars.timesBareProxy, "×"),
  ];
  const floor = atMost(
    "the same, as a multiple of the plain gateway (the floor)",
    timesFloor,
    TIMES_FLOOR,
    "×",
  );
  const least = atMost("the same, as a multiple of the least proxy", timesLeast, undefined, "×");
  const met = own.every(({ ok }) => ok);
  return [...own.map((check) => orFloor(check, timesFloor)), least, { ...floor, ok: floor.ok || met }];
}

export function barChecks(measured: BarMeasurements, bars: Bars = FULL_BARS): readonly Check[] {
  const { gateway, bareProxy, leastProxy, plainGateway, direct, early, late } = measured;
  const timesOf = (other: readonly RunResult[]) =>
    median(
      gateway.map((run, round) => {
        const theirs = other[round]?.cpuMicrosPerCall;
        return run.cpuMicrosPerCall === undefined || theirs === undefined
          ? undefined
          : run.cpuMicrosPerCall / theirs;
      }),
    );
  const p50 = (runs: readonly RunResult[]) => median(runs.map(({ latency }) => latency.p50));
  const added = (p50(gateway) ?? Number.NaN) - (p50(direct) ?? Number.NaN);
  const offered = gateway.reduce((sum, run) => sum + run.offered, 0);
  const answered = gateway.reduce((sum, run) => sum + run.ok, 0);
  const seconds = gateway.reduce((sum, run) => sum + run.seconds, 0);
  return [
    ...costChecks(
      median(gateway.map((run) => run.cpuMicrosPerCall)),
      timesOf(bareProxy),
      timesOf(leastProxy),
      timesOf(plainGateway),
      bars,
    ),
    atMost("p50 added to calling the upstream directly", added, ADDED_P50_MS, "ms"),
    {
      what: `calls answered in ${seconds} s`,
      measured: `${answered} of ${offered}`,
      bound: `all, ${measured.rps}/s`,
      ok: answered === offered && offered >= measured.rps * seconds * 0.999,
    },
    {
      what: `heap after ${measured.lateCalls} calls`,
      measured: mib(late),
      bound: `≤ ${HEAP_GROWTH} × ${mib(early)} after ${measured.earlyCalls}`,
      ok: late.usedBytes <= HEAP_GROWTH * early.usedBytes,
    },
  ];
}
