import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type BarMeasurements,
  BRIDGED_BARS,
  barChecks,
  FULL_BARS,
  LARGE_RESULT_BARS,
  least,
  median,
  PASS_THROUGH_BARS,
} from "./bar-checks.ts";
import { burst } from "./burst.ts";
import { readHeap } from "./heap-probe.ts";
import { watchNoise } from "./machine-noise.ts";
import { createMcpCaller, type Front, type McpCaller } from "./mcp-caller.ts";
import type { CallShape, Scale } from "./plan.ts";
import { processUsage } from "./process-usage.ts";
import type { ProgressBar } from "./progress-bar.ts";
import { checkTable, describeMachine, type Verdict } from "./report.ts";
import { type RunResult, runLoad } from "./run-plan.ts";
import { constant } from "./schedule.ts";
import type { LoadTarget, Site } from "./site.ts";
import { textTable } from "./text-table.ts";

/**
 * How much is run at each scale: rounds of so many seconds, the upstream called directly in every so many of them; the
 * heap is read after the rounds, and after `late` calls.
 */
const AMOUNTS = {
  smoke: { rounds: 4, directEvery: 1, seconds: 0.5, warmUp: 500, late: 4_000 },
  ci: { rounds: 10, directEvery: 3, seconds: 1, warmUp: 10_000, late: 50_000 },
  full: { rounds: 30, directEvery: 3, seconds: 1, warmUp: 10_000, late: 200_000 },
} as const satisfies Readonly<Record<Scale, object>>;

/** The result that a call asks for. */
export type ResultSize = "small" | "50kb";

const CALLERS = { users: 10, sessions: 50, connections: 100 } as const;
const CALLS: Readonly<Record<ResultSize, CallShape>> = {
  small: { ...CALLERS, tool: "echo", args: { text: "a small call" } },
  "50kb": { ...CALLERS, tool: "payload", args: { bytes: 51_200 } },
};

/** What the command came to. */
export interface GatewayBar {
  readonly verdict: Verdict;
  readonly text: string;
}

/** More than this of a core taken by others, in percent, makes every figure too high. */
const QUIET_PERCENT = 10;

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

function barsOf(size: ResultSize, plugins: boolean, bridged: boolean) {
  if (size === "50kb") return LARGE_RESULT_BARS;
  if (bridged) return BRIDGED_BARS;
  return plugins ? FULL_BARS : PASS_THROUGH_BARS;
}

/**
 * Measures CPU time per call of the gateway beside that of the upstream called directly, of the proxies and of the
 * plain gateway, in short rounds that take turns, so that whatever else the machine does meets all of them alike; then the heap after
 * a full collection, early and late in the gateway's life. Sessions and connections of each target are opened once,
 * before its warm-up: a round costs calls and nothing else.
 */
export async function runGatewayBar(options: {
  readonly site: Site;
  readonly front: Front;
  readonly scale: Scale;
  readonly result: ResultSize;
  /** Whether limiter and retry are on; without them passing through is measured. */
  readonly plugins: boolean;
  /** Whether the upstream speaks a revision of the other kind. */
  readonly bridged: boolean;
  /** Calls per second, 1 000 or more: below, a process costs more by waking up than by what it does. */
  readonly rps: number;
  readonly progress: ProgressBar;
  readonly folder: string;
}): Promise<GatewayBar> {
  const { site, progress, scale, result: size, plugins, bridged, rps } = options;
  const shape = CALLS[size];
  const bars = barsOf(size, plugins, bridged);
  const amounts = AMOUNTS[scale];
  const { direct, bareProxy, leastProxy, plainGateway, gateway } = site;
  const targets = [direct, bareProxy, leastProxy, plainGateway, gateway].filter((each) => each !== undefined);
  const pids = [process.pid, ...targets.map(({ pid }) => pid)];
  const ownMicros = (): number => pids.reduce((sum, pid) => sum + (processUsage(pid).cpuMicros ?? 0), 0);
  const noise = watchNoise();
  const ownBefore = ownMicros();
  let gatewayCalls = 0;
  const callers = new Map<LoadTarget, McpCaller>();
  for (const target of targets) callers.set(target, await createMcpCaller(target.mcp(shape)));

  const round = async (target: LoadTarget): Promise<RunResult> => {
    const caller = callers.get(target);
    const result = await runLoad({
      name: target.name,
      target: target.mcp(shape),
      ...(caller && { caller }),
      load: { kind: "open", stages: [constant(rps, amounts.seconds)] },
      bounds: [amounts.seconds],
      pid: target.pid,
      warmUpCalls: 0,
      onProgress: (ratio) => progress.update(`gateway-bar ${target.name}`, ratio),
    });
    if (target === site.gateway) gatewayCalls += result.offered;
    return result;
  };
  const callOften = async (target: LoadTarget, calls: number): Promise<void> => {
    const caller = callers.get(target);
    if (caller === undefined || calls <= 0) return;
    await burst(caller, calls, (ratio) => progress.update(`gateway-bar ${target.name}, warming up`, ratio));
    if (target === site.gateway) gatewayCalls += calls;
  };

  for (const target of targets) await callOften(target, amounts.warmUp);
  const runs: RunResult[] = [];
  for (let number = 0; number < amounts.rounds; number += 1) {
    const due = number % amounts.directEvery === 0 ? targets : targets.filter((each) => each !== site.direct);
    // Back and forth, so that a slow drift of the machine favours nobody.
    for (const target of number % 2 === 0 ? due : [...due].reverse()) runs.push(await round(target));
  }
  // Not before the rounds: a full collection throws compiled code away, and the rounds would measure its compilation.
  const earlyCalls = gatewayCalls;
  const early = await readHeap(site.gatewayProcess);
  await callOften(site.gateway, amounts.late - gatewayCalls);
  const late = await readHeap(site.gatewayProcess);
  for (const caller of callers.values()) await caller.close();
  progress.clear();

  const of = (name: LoadTarget["name"]): readonly RunResult[] => runs.filter(({ target }) => target === name);
  const measurements: BarMeasurements = {
    gateway: of("gateway"),
    bareProxy: of("bare proxy"),
    leastProxy: of("least proxy"),
    plainGateway: of("plain gateway"),
    direct: of("direct"),
    rps,
    earlyCalls,
    lateCalls: gatewayCalls,
    early,
    late,
  };
  const checks = barChecks(measurements, bars);
  const verdict: Verdict = checks.every(({ ok }) => ok) ? "passed" : "failed";
  const others = noise.othersPercent(ownMicros() - ownBefore);
  const summaries = targets.flatMap(({ name }) =>
    [["median", median] as const, ["best", least] as const].map(([word, take]) => [
      `${name}, ${word}`,
      fixed(median(of(name).map((run) => run.achievedRps)), 1),
      fixed(take(of(name).map((run) => run.latency.p50)), 2),
      fixed(take(of(name).map((run) => run.latency.p95)), 2),
      fixed(take(of(name).map((run) => run.latency.p99)), 2),
      "",
      fixed(take(of(name).map((run) => run.cpuMicrosPerCall)), 1),
      "",
    ]),
  );
  const text = [
    `gateway-bar (${scale}, ${options.front} clients${bridged ? " on an upstream of the other kind" : ""}, ${size} results, plugins ${plugins ? "on" : "off"}, ${rps} calls/s): ${verdict.toUpperCase()}`,
    `${describeMachine()}; ${site.pinning}`,
    `other processes took ${fixed(others, 0)} % of a core meanwhile${(others ?? 0) > QUIET_PERCENT ? ": not a quiet machine, so the figures are too high" : ""}`,
    "",
    textTable(
      ["target", "ok/s", "p50 ms", "p95 ms", "p99 ms", "errors", "CPU µs/call", "lag p99"],
      [...(scale === "smoke" ? runs.map(row) : []), ...summaries],
    ),
    "",
    checkTable(checks),
    "",
  ].join("\n");
  const name = `${options.front === "legacy" ? "" : `-${options.front}`}${bridged ? "-bridged" : ""}${size === "small" ? "" : `-${size}`}${plugins ? "" : "-bare"}`;
  mkdirSync(options.folder, { recursive: true });
  const json = {
    scale,
    front: options.front,
    result: size,
    plugins,
    bridged,
    rps,
    verdict,
    checks,
    othersPercent: others,
    heap: { early, late },
    runs,
  };
  writeFileSync(
    join(options.folder, `gateway-bar-${scale}${name}.json`),
    `${JSON.stringify(json, null, 2)}\n`,
  );
  return { verdict, text };
}
