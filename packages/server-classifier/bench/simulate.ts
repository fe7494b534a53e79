// `npm run simulate:classifier [HOURS]`: one day of 300 servers and 3 replicas in fast forward; prints a table, draws
// docs/simulation.svg.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createProgressBar, drawPlots, type Series } from "@gatewright/bench";
import { type Outcome, simulate } from "./simulation.ts";
import { quantile } from "./traffic.ts";

const hours = Number(process.argv[2] ?? 24);
if (!Number.isInteger(hours) || hours < 2 || hours > 240) {
  console.error(`HOURS is a whole number from 2 to 240, not "${process.argv[2]}".`);
  process.exit(2);
}
const scenario = { servers: 300, replicas: 3, hours, requestsPerSecond: 20, seed: 7 };

const presets = ["everything", "default", "contextforge"] as const;
const outcomes = new Map<string, Outcome>();
const bar = createProgressBar(process.stderr);
for (const [done, preset] of presets.entries()) {
  const startedAt = performance.now();
  const onProgress = (ratio: number) => bar.update(preset, (done + ratio) / presets.length);
  outcomes.set(preset, await simulate({ ...scenario, preset }, onProgress));
  bar.clear();
  console.log(`${preset}: ${hours} h simulated in ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
}

const SETTLED_MINUTES = 60;

function fiveMinutes(outcome: Outcome): number[] {
  const buckets: number[] = [];
  for (let minute = SETTLED_MINUTES; minute < outcome.pollsPerMinute.length; minute += 5) {
    buckets.push(outcome.pollsPerMinute.slice(minute, minute + 5).reduce((sum, n) => sum + n, 0));
  }
  return buckets;
}

/** Polls compared with everything at 1×, where ± 10 % of jitter has no say. */
const everything = (scenario.servers / 5) * 60 * hours;
const minutes = (list: readonly number[], share: number) => (quantile(list, share) / 60).toFixed(1);
const rows = presets.map((preset) => {
  const outcome = outcomes.get(preset) as Outcome;
  const buckets = fiveMinutes(outcome);
  return [
    preset,
    String(outcome.polls),
    (outcome.polls / (hours * 60)).toFixed(1),
    `${((1 - outcome.polls / everything) * 100).toFixed(1)} %`,
    (Math.max(...buckets) / Math.min(...buckets)).toFixed(2),
    outcome.noticed.hot.length > 0
      ? `${minutes(outcome.noticed.hot, 0.5)} / ${minutes(outcome.noticed.hot, 0.95)}`
      : "–",
    `${minutes(outcome.noticed.cold, 0.5)} / ${minutes(outcome.noticed.cold, 0.95)}`,
    String(outcome.moves),
    String(outcome.doubled),
  ];
});
const head = [
  "what is polled",
  "polls",
  "per minute",
  "saved",
  "max/min per 5 min",
  "hot noticed p50/p95, min",
  "cold noticed p50/p95, min",
  "tier moves",
  "doubled",
];
const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
for (const row of [head, ...rows])
  console.log(`| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`);

const SMOOTH_MINUTES = 10;
const colors = { everything: "#8a94a0", default: "#00798c", contextforge: "#d1495b" };
const series = presets.map((name): Series => {
  const { pollsPerMinute } = outcomes.get(name) as Outcome;
  const points: Array<readonly [number, number]> = [];
  for (let minute = 0; minute + SMOOTH_MINUTES <= pollsPerMinute.length; minute += SMOOTH_MINUTES) {
    const sum = pollsPerMinute.slice(minute, minute + SMOOTH_MINUTES).reduce((total, n) => total + n, 0);
    points.push([minute / 60, sum / SMOOTH_MINUTES]);
  }
  return { name, color: colors[name], points };
});
const plot = {
  title: `${scenario.servers} servers, ${scenario.replicas} replicas, Zipf traffic: polls per minute`,
  xLabel: "hours",
  yLabel: "polls per minute, mean of 10",
  xMax: hours,
  yMax: 120,
  series,
};
writeFileSync(join(import.meta.dirname, "..", "docs", "simulation.svg"), drawPlots([plot]));
