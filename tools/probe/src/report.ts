import { drawPlots, textTable } from "@gatewright/bench";
import { LIMIT } from "./fleet.ts";
import type { ProbeResult } from "./run-probe.ts";

/** Sums of a run. */
export interface Summary {
  readonly calls: number;
  readonly judged: number;
  readonly stale: number;
  readonly staleAfterLease: number;
  readonly degraded: number;
  readonly failed: number;
  readonly converged: boolean;
}

/** Adds up what the switches of a run came to. */
export function summaryOf({ switches, calls }: ProbeResult): Summary {
  const sum = (pick: (judgement: ProbeResult["switches"][number]["judgement"]) => number) =>
    switches.reduce((total, { judgement }) => total + pick(judgement), 0);
  return {
    calls: calls.length,
    judged: sum(({ judged }) => judged),
    stale: sum(({ stale }) => stale),
    staleAfterLease: sum(({ staleAfterLease }) => staleAfterLease),
    degraded: calls.filter(({ ruling }) => ruling === "degraded").length,
    failed: calls.filter(({ ruling }) => ruling === "failed").length,
    converged: switches.every(({ convergedAt }) => convergedAt !== undefined),
  };
}

/** The report for a terminal, as Markdown. */
export function textReport(result: ProbeResult): string {
  const { options, switches, calls, failures } = result;
  const summary = summaryOf(result);
  const { replicas, workers, via } = options;
  const extras = [
    options.suppressPublish ? "PUBLISH suppressed" : "",
    options.pauseReplica ? "a process frozen for 3 s around a switch" : "",
    options.restartRedis ? "Redis restarted empty between switches" : "",
  ].filter((text) => text !== "");
  const latency = percentiles(
    calls.filter(({ ruling }) => ruling !== "failed").map((call) => call.endedAt - call.startedAt),
  );
  return [
    `${replicas} × ${workers} gateways, switched ${switches.length} times via ${via}${extras.map((text) => `; ${text}`).join("")}`,
    "",
    switchTable(result),
    "",
    `calls ${summary.calls}, of them judged after converged: ${summary.judged}; stale: ${summary.stale}`,
    `stale more than one lease (1 s) after the commit: ${summary.staleAfterLease}`,
    `refused for want of Redis: ${summary.degraded}; failed: ${summary.failed}`,
    `latency of a call, ms: p50 ${latency.p50}, p90 ${latency.p90}, p99 ${latency.p99}, max ${latency.max}`,
    ...[...failures].map(([kind, count]) => `  ${count} × ${kind}`),
    "",
    ...trajectory(result),
  ].join("\n");
}

function switchTable({ switches }: ProbeResult): string {
  const groups = Map.groupBy(
    switches,
    ({ from, to, fault }) => `${from} → ${to}${fault === "none" ? "" : `, ${fault}`}`,
  );
  const head = [
    "switch",
    "times",
    "acks",
    "ack p50 / max ms",
    "converged after ms, median / max",
    "last old decision ms",
    "judged",
    "stale",
  ];
  const rows = [...groups].map(([name, group]) => {
    const took = group.flatMap(({ sentAt, convergedAt }) =>
      convergedAt === undefined ? [] : [convergedAt - sentAt],
    );
    const sum = (pick: (one: (typeof group)[number]) => number) =>
      group.reduce((total, one) => total + pick(one), 0);
    return [
      name,
      String(group.length),
      String(Math.min(...group.map(({ report }) => report.acked.length))),
      `${round(median(group.map(({ report }) => report.p50Ms)))} / ${round(Math.max(...group.map(({ report }) => report.maxMs)))}`,
      took.length === group.length ? `${round(median(took))} / ${round(Math.max(...took))}` : "never",
      String(round(Math.max(...group.map(({ judgement }) => judgement.lastOldMs)))),
      String(sum(({ judgement }) => judgement.judged)),
      String(sum(({ judgement }) => judgement.stale)),
    ];
  });
  return textTable(head, rows);
}

const BARS = " ▁▂▃▄▅▆▇█";

/** One character per look: how many gateways had the limiter on, and which share of the calls it decided. */
function trajectory({ looks, options }: ProbeResult): string[] {
  const total = options.replicas * options.workers;
  const bar = (share: number) => BARS[Math.round(Math.min(1, share) * (BARS.length - 1))] ?? " ";
  const rows = {
    "gateways in enforce   ": looks.map(({ modes }) => bar((modes["enforce"] ?? 0) / total)),
    "gateways in permissive": looks.map(({ modes }) => bar((modes["permissive"] ?? 0) / total)),
    "calls under the limit ": looks.map(({ calls, underLimit }) => bar(calls === 0 ? 0 : underLimit / calls)),
  };
  const width = 100;
  const lines: string[] = [`trajectory, one character per poll of ${options.pollMs} ms`];
  for (let from = 0; from < looks.length; from += width) {
    for (const [name, row] of Object.entries(rows))
      lines.push(`${name} ${row.slice(from, from + width).join("")}`);
    if (from + width < looks.length) lines.push("");
  }
  return lines;
}

/** The trajectory and the calls' latencies as one SVG. */
export function svgReport({ looks, switches, calls, options }: ProbeResult): string {
  const start = looks[0]?.at ?? 0;
  const seconds = (at: number) => Math.max(0, (at - start) / 1_000);
  const total = options.replicas * options.workers;
  const xMax = Math.max(1, seconds(looks.at(-1)?.at ?? 0));
  const share = (pick: (look: (typeof looks)[number]) => number) =>
    looks.map((look) => [seconds(look.at), Math.min(100, pick(look))] as const);
  const curve = [50, 75, 90, 95, 99, 99.9].map((p, i) => [i, quantile(durations(calls), p / 100)] as const);
  return drawPlots([
    {
      title: `${total} gateways: share in enforce, and of calls under ${LIMIT}/m`,
      xLabel: "seconds",
      yLabel: "%",
      xMax,
      yMax: 100,
      series: [
        {
          name: "gateways",
          color: "#0072b2",
          points: share(({ modes }) => ((modes["enforce"] ?? 0) / total) * 100),
        },
        {
          name: "calls",
          color: "#d55e00",
          points: share((look) => (look.calls === 0 ? 0 : (look.underLimit / look.calls) * 100)),
        },
      ],
    },
    {
      title: "From the request to the last acknowledgement",
      xLabel: "switch",
      yLabel: "ms",
      xMax: Math.max(1, switches.length),
      yMax: Math.max(1, ...switches.map(({ report }) => report.maxMs)),
      series: [
        {
          name: "max",
          color: "#0072b2",
          points: switches.map(({ report }, i) => [i + 1, report.maxMs] as const),
        },
        {
          name: "median",
          color: "#009e73",
          points: switches.map(({ report }, i) => [i + 1, report.p50Ms] as const),
        },
      ],
    },
    {
      title: "Latency of a call at p50, p75, p90, p95, p99, p99.9",
      xLabel: "percentile, from left to right",
      yLabel: "ms",
      xMax: 5,
      yMax: Math.max(1, ...curve.map(([, y]) => y)),
      series: [{ name: "calls", color: "#0072b2", points: curve }],
    },
  ]);
}

function durations(calls: ProbeResult["calls"]): Float64Array {
  return Float64Array.from(
    calls.filter(({ ruling }) => ruling !== "failed"),
    (call) => call.endedAt - call.startedAt,
  ).sort();
}

function percentiles(values: readonly number[]) {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => round(quantile(sorted, share));
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

function median(values: readonly number[]): number {
  return quantile(Float64Array.from(values).sort(), 0.5);
}

function round(value: number): number {
  return value < 10 ? Math.round(value * 10) / 10 : Math.round(value);
}
