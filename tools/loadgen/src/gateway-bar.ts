import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type HeapReading, readHeap } from "./heap-probe.ts";
import type { Front } from "./mcp-caller.ts";
import type { Check, Plan, Scale } from "./plan.ts";
import type { ProgressBar } from "./progress-bar.ts";
import { checkTable, describeMachine, type Verdict } from "./report.ts";
import { type RunResult, runLoad } from "./run-plan.ts";
import { constant } from "./schedule.ts";
import type { LoadTarget, Site } from "./site.ts";
import { textTable } from "./text-table.ts";

/** The bars of one gateway process, as the performance plan and the first issue have them. */
const BARS = { cpuMicros: 150, timesBareProxy: 1.5, heapGrowth: 1.05, rps: 1_000 } as const;

/** How much is run at each scale. */
const AMOUNTS: Readonly<
  Record<Scale, { seconds: number; warmUp: number; early: number; late: number; fillRps: number }>
> = {
  smoke: { seconds: 2, warmUp: 500, early: 1_000, late: 5_000, fillRps: 1_000 },
  ci: { seconds: 30, warmUp: 10_000, early: 20_000, late: 100_000, fillRps: 2_000 },
  full: { seconds: 120, warmUp: 10_000, early: 20_000, late: 400_000, fillRps: 2_000 },
};

/** What the command came to. */
export interface GatewayBar {
  readonly verdict: Verdict;
  readonly text: string;
}

const PLAN: Omit<Plan, "load" | "bounds" | "baseline" | "checks" | "warmUpCalls"> = {
  users: 10,
  sessions: 50,
  connections: 100,
  tool: "echo",
  args: { text: "a small call" },
};

const micros = (value: number | undefined): string =>
  value === undefined ? "n/a" : `${value.toFixed(1)} µs`;
const mib = ({ usedBytes }: HeapReading): string => `${(usedBytes / 1024 / 1024).toFixed(2)} MB`;

const row = (label: string, run: RunResult): readonly string[] => [
  label + (run.isVoid ? " (void)" : ""),
  run.achievedRps.toFixed(1),
  run.latency.p50.toFixed(2),
  run.latency.p95.toFixed(2),
  run.latency.p99.toFixed(2),
  String(run.offered - run.ok),
  micros(run.cpuMicrosPerCall),
  run.generator.lag.p99.toFixed(2),
];

/**
 * Measures CPU time per call of the gateway beside that of the bare proxy, before and after, in one run; then the
 * heap after a full collection early and late in the process's life.
 */
export async function runGatewayBar(options: {
  readonly site: Site;
  readonly front: Front;
  readonly scale: Scale;
  readonly progress: ProgressBar;
  readonly folder: string;
}): Promise<GatewayBar> {
  const { site, progress } = options;
  const amounts = AMOUNTS[options.scale];
  let gatewayCalls = 0;

  const load = async (
    target: LoadTarget,
    rps: number,
    seconds: number,
    warmUpCalls: number,
  ): Promise<RunResult> => {
    const stages = [constant(rps, seconds)];
    const result = await runLoad({
      name: target.name,
      target: target.mcp({ ...PLAN } as Plan),
      load: { kind: "open", stages },
      bounds: [seconds],
      pid: target.pid,
      warmUpCalls,
      onProgress: (ratio) => progress.update(`gateway-bar ${target.name}`, ratio),
    });
    if (target === site.gateway) gatewayCalls += warmUpCalls + result.offered;
    return result;
  };
  const fillTo = async (calls: number): Promise<void> => {
    const missing = calls - gatewayCalls;
    if (missing > 0) await load(site.gateway, amounts.fillRps, missing / amounts.fillRps, 0);
  };

  const half = amounts.seconds / 2;
  const direct = await load(site.direct, BARS.rps, half, amounts.warmUp);
  const before = await load(site.bareProxy, BARS.rps, half, amounts.warmUp);
  await load(site.gateway, BARS.rps, amounts.warmUp / BARS.rps, 0);
  await fillTo(amounts.early);
  const early = await readHeap(site.gatewayProcess);
  const gateway = await load(site.gateway, BARS.rps, amounts.seconds, 0);
  const after = await load(site.bareProxy, BARS.rps, half, 0);
  await fillTo(amounts.late);
  const late = await readHeap(site.gatewayProcess);
  progress.clear();

  const bare = [before.cpuMicrosPerCall, after.cpuMicrosPerCall];
  const bareMicros = bare.every((value) => value !== undefined)
    ? bare.reduce((sum, value) => sum + value, 0) / bare.length
    : undefined;
  const gatewayMicros = gateway.cpuMicrosPerCall;
  const ratio =
    gatewayMicros === undefined || bareMicros === undefined ? undefined : gatewayMicros / bareMicros;
  const growth = late.usedBytes / early.usedBytes;
  const checks: readonly Check[] = [
    {
      what: "CPU per call of the gateway",
      measured: micros(gatewayMicros),
      bound: `≤ ${BARS.cpuMicros} µs`,
      ok: gatewayMicros !== undefined && gatewayMicros <= BARS.cpuMicros,
    },
    {
      what: "as a multiple of the bare proxy",
      measured: ratio === undefined ? "n/a" : `${ratio.toFixed(2)} × ${micros(bareMicros)}`,
      bound: `≤ ${BARS.timesBareProxy} ×`,
      ok: ratio !== undefined && ratio <= BARS.timesBareProxy,
    },
    {
      what: "calls answered per second",
      measured: gateway.achievedRps.toFixed(1),
      bound: `≥ ${BARS.rps * 0.999}, no errors`,
      ok: gateway.achievedRps >= BARS.rps * 0.999 && gateway.ok === gateway.offered,
    },
    {
      what: `heap after ${gatewayCalls} calls`,
      measured: mib(late),
      bound: `≤ ${BARS.heapGrowth} × ${mib(early)} after ${amounts.early}`,
      ok: growth <= BARS.heapGrowth,
    },
  ];
  const verdict: Verdict = checks.every(({ ok }) => ok) ? "passed" : "failed";
  const runs = [
    row("direct", direct),
    row("bare proxy, before", before),
    row("gateway", gateway),
    row("bare proxy, after", after),
  ];
  const text = [
    `gateway-bar (${options.scale}, ${options.front} clients): ${verdict.toUpperCase()}`,
    `${describeMachine()}; ${site.pinning}`,
    "",
    textTable(["target", "ok/s", "p50 ms", "p95 ms", "p99 ms", "errors", "CPU per call", "lag p99"], runs),
    "",
    checkTable(checks),
    "",
  ].join("\n");
  mkdirSync(options.folder, { recursive: true });
  const json = {
    scale: options.scale,
    front: options.front,
    verdict,
    checks,
    heap: { early, late },
    runs: [direct, before, gateway, after],
  };
  writeFileSync(
    join(options.folder, `gateway-bar-${options.scale}.json`),
    `${JSON.stringify(json, null, 2)}\n`,
  );
  return { verdict, text };
}
