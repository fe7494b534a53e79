import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BarMeasurements, barChecks, median } from "./bar-checks.ts";
import { readHeap } from "./heap-probe.ts";
import { watchNoise } from "./machine-noise.ts";
import type { Front } from "./mcp-caller.ts";
import type { CallShape, Scale } from "./plan.ts";
import { processUsage } from "./process-usage.ts";
import type { ProgressBar } from "./progress-bar.ts";
import { checkTable, describeMachine, type Verdict } from "./report.ts";
import { type RunResult, runLoad } from "./run-plan.ts";
import { constant } from "./schedule.ts";
import type { LoadTarget, Site } from "./site.ts";
import { textTable } from "./text-table.ts";

/** Calls per second at which the bars are measured. */
const RPS = 1_000;

/** How much is run at each scale. `early` and `late` are calls after which the heap is read. */
const AMOUNTS = {
  smoke: { rounds: 2, seconds: 1, warmUp: 500, early: 1_000, late: 4_000, fillRps: 1_000 },
  ci: { rounds: 6, seconds: 5, warmUp: 10_000, early: 20_000, late: 100_000, fillRps: 2_000 },
  full: { rounds: 12, seconds: 10, warmUp: 10_000, early: 20_000, late: 400_000, fillRps: 2_000 },
} as const satisfies Readonly<Record<Scale, object>>;

const CALLS: CallShape = {
  users: 10,
  sessions: 50,
  connections: 100,
  tool: "echo",
  args: { text: "a small call" },
};

/** What the command came to. */
export interface GatewayBar {
  readonly verdict: Verdict;
  readonly text: string;
}

const fixed = (value: number | undefined, digits: number): string => value?.toFixed(digits) ?? "n/a";

const row = (run: RunResult): readonly string[] => [
  run.target + (run.isVoid ? " (void)" : ""),
  run.achievedRps.toFixed(1),
  run.latency.p50.toFixed(2),
  run.latency.p95.toFixed(2),
  run.latency.p99.toFixed(2),
  String(run.offered - run.ok),
  fixed(run.cpuMicrosPerCall, 1),
  fixed(run.generator.lag.p99, 2),
];

/**
 * Measures CPU time per call of the gateway beside that of the upstream called directly and of the bare proxy, in
 * short rounds that take turns, so that whatever else the machine does meets all of them alike; then the heap after
 * a full collection, early and late in the gateway's life.
 */
export async function runGatewayBar(options: {
  readonly site: Site;
  readonly front: Front;
  readonly scale: Scale;
  readonly progress: ProgressBar;
  readonly folder: string;
}): Promise<GatewayBar> {
  const { site, progress, scale } = options;
  const amounts = AMOUNTS[scale];
  const pids = [process.pid, site.direct.pid, site.bareProxy.pid, site.gateway.pid];
  const ownMicros = (): number => pids.reduce((sum, pid) => sum + (processUsage(pid).cpuMicros ?? 0), 0);
  const noise = watchNoise();
  const ownBefore = ownMicros();
  let gatewayCalls = 0;

  const load = async (
    target: LoadTarget,
    rps: number,
    seconds: number,
    warmUpCalls = 0,
  ): Promise<RunResult> => {
    const result = await runLoad({
      name: target.name,
      target: target.mcp(CALLS),
      load: { kind: "open", stages: [constant(rps, seconds)] },
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
    if (missing > 0) await load(site.gateway, amounts.fillRps, missing / amounts.fillRps);
  };

  for (const target of [site.direct, site.bareProxy, site.gateway]) {
    await load(target, RPS, 1, Math.max(0, amounts.warmUp - RPS));
  }
  await fillTo(amounts.early);
  const early = await readHeap(site.gatewayProcess);
  const runs: RunResult[] = [];
  for (let round = 0; round < amounts.rounds; round += 1) {
    for (const target of [site.direct, site.bareProxy, site.gateway]) {
      runs.push(await load(target, RPS, amounts.seconds));
    }
  }
  await fillTo(amounts.late);
  const late = await readHeap(site.gatewayProcess);
  progress.clear();

  const of = (name: LoadTarget["name"]): readonly RunResult[] => runs.filter(({ target }) => target === name);
  const measurements: BarMeasurements = {
    gateway: of("gateway"),
    bareProxy: of("bare proxy"),
    direct: of("direct"),
    rps: RPS,
    earlyCalls: amounts.early,
    lateCalls: gatewayCalls,
    early,
    late,
  };
  const checks = barChecks(measurements);
  const verdict: Verdict = checks.every(({ ok }) => ok) ? "passed" : "failed";
  const others = noise.othersPercent(ownMicros() - ownBefore);
  const medians = [site.direct, site.bareProxy, site.gateway].map(({ name }) => [
    `${name}, median`,
    fixed(median(of(name).map((run) => run.achievedRps)), 1),
    fixed(median(of(name).map((run) => run.latency.p50)), 2),
    fixed(median(of(name).map((run) => run.latency.p95)), 2),
    fixed(median(of(name).map((run) => run.latency.p99)), 2),
    "",
    fixed(median(of(name).map((run) => run.cpuMicrosPerCall)), 1),
    "",
  ]);
  const text = [
    `gateway-bar (${scale}, ${options.front} clients): ${verdict.toUpperCase()}`,
    `${describeMachine()}; ${site.pinning}`,
    `other processes took ${fixed(others, 0)} % of a core meanwhile`,
    "",
    textTable(
      ["target", "ok/s", "p50 ms", "p95 ms", "p99 ms", "errors", "CPU µs/call", "lag p99"],
      [...runs.map(row), ...medians],
    ),
    "",
    checkTable(checks),
    "",
  ].join("\n");
  mkdirSync(options.folder, { recursive: true });
  const json = {
    scale,
    front: options.front,
    verdict,
    checks,
    othersPercent: others,
    heap: { early, late },
    runs,
  };
  writeFileSync(join(options.folder, `gateway-bar-${scale}.json`), `${JSON.stringify(json, null, 2)}\n`);
  return { verdict, text };
}
