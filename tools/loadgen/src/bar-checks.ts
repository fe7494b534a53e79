import type { HeapReading } from "./heap-probe.ts";
import type { Check } from "./plan.ts";
import type { RunResult } from "./run-plan.ts";

/** What the bars of one gateway process are judged by; one run a round, all three targets in every round. */
export interface BarMeasurements {
  readonly gateway: readonly RunResult[];
  readonly bareProxy: readonly RunResult[];
  readonly direct: readonly RunResult[];
  readonly rps: number;
  readonly earlyCalls: number;
  readonly lateCalls: number;
  readonly early: HeapReading;
  readonly late: HeapReading;
}

/** The bars of the foundation; the performance plan tightens them later. */
export const BARS = { cpuMicros: 150, timesBareProxy: 1.5, addedP50Ms: 1, heapGrowth: 1.05 } as const;

/** The middle of the known values; undefined when there are none. */
export function median(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  const middle = Math.floor(known.length / 2);
  const upper = known[middle];
  if (upper === undefined || known.length % 2 === 1) return upper;
  return (upper + (known[middle - 1] ?? upper)) / 2;
}

const mib = ({ usedBytes }: HeapReading): string => `${(usedBytes / 1024 / 1024).toFixed(2)} MB`;

const atMost = (what: string, value: number | undefined, bound: number, unit: string): Check => ({
  what,
  measured: value === undefined ? "n/a" : `${value.toFixed(2)} ${unit}`,
  bound: `≤ ${bound} ${unit}`,
  ok: value !== undefined && value <= bound,
});

export function barChecks(measured: BarMeasurements): readonly Check[] {
  const { gateway, bareProxy, direct, early, late } = measured;
  const ratios = gateway.map((run, round) => {
    const bare = bareProxy[round]?.cpuMicrosPerCall;
    return run.cpuMicrosPerCall === undefined || bare === undefined ? undefined : run.cpuMicrosPerCall / bare;
  });
  const added = gateway.map((run, round) => run.latency.p50 - (direct[round]?.latency.p50 ?? 0));
  const offered = gateway.reduce((sum, run) => sum + run.offered, 0);
  const answered = gateway.reduce((sum, run) => sum + run.ok, 0);
  const seconds = gateway.reduce((sum, run) => sum + run.seconds, 0);
  return [
    atMost(
      "CPU per call of the gateway",
      median(gateway.map((run) => run.cpuMicrosPerCall)),
      BARS.cpuMicros,
      "µs",
    ),
    atMost("the same, as a multiple of the bare proxy", median(ratios), BARS.timesBareProxy, "×"),
    atMost("p50 added to calling the upstream directly", median(added), BARS.addedP50Ms, "ms"),
    {
      what: `calls answered in ${seconds} s`,
      measured: `${answered} of ${offered}`,
      bound: `all, ${measured.rps}/s`,
      ok: answered === offered && offered >= measured.rps * seconds * 0.999,
    },
    {
      what: `heap after ${measured.lateCalls} calls`,
      measured: mib(late),
      bound: `≤ ${BARS.heapGrowth} × ${mib(early)} after ${measured.earlyCalls}`,
      ok: late.usedBytes <= BARS.heapGrowth * early.usedBytes,
    },
  ];
}
