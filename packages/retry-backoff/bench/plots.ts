// `pnpm run plots`: draws docs/jitter.svg and docs/overload.svg from the package's own code, seeded.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { drawPlots, type Plot, type Series } from "@gatewright/bench";
import { createBudget, type Jitter } from "@gatewright/retry-backoff";
import { drawDelay } from "@gatewright/retry-backoff/plugin";
import { seededRandom } from "@gatewright/testkit";

const docs = join(import.meta.dirname, "..", "docs");
const COLORS = ["#d1495b", "#00798c", "#b8860b", "#5b4b8a"];

/** Density of the delay after the fourth failure, base 200 ms, for each jitter that draws. */
function jitterPlot(): Plot {
  const random = seededRandom(1);
  const buckets = 48;
  const xMax = 2_400;
  const draws = 400_000;
  const series = (["full", "equal", "decorrelated"] as const).map((jitter, i): Series => {
    const counts = new Array<number>(buckets).fill(0);
    for (let n = 0; n < draws; n++) {
      const bucket = Math.floor((delayAfterFour(jitter, random) / xMax) * buckets);
      if (bucket < buckets) counts[bucket] = (counts[bucket] ?? 0) + 1;
    }
    const points = counts.map((count, at) => [((at + 0.5) * xMax) / buckets, (100 * count) / draws] as const);
    return { name: jitter, color: COLORS[i] ?? "", points };
  });
  return {
    title: "Delay after the fourth failure (base 200 ms, ceiling 1 600 ms)",
    xLabel: "delay, ms",
    yLabel: "% of draws per 50 ms",
    xMax,
    yMax: 8,
    filled: true,
    series,
  };
}

function delayAfterFour(jitter: Jitter, random: () => number): number {
  let delay = 200;
  for (let failure = 1; failure <= 4; failure++) {
    delay = drawDelay(failure, { baseMs: 200, maxMs: 5_000, jitter }, random, delay);
  }
  return delay;
}

/** A thousand clients fail together: how many come back in each 10 ms of the first retry. */
function herdPlot(): Plot {
  const random = seededRandom(2);
  const series = (["none", "full", "equal"] as const).map((jitter, i): Series => {
    const counts = new Array<number>(24).fill(0);
    for (let n = 0; n < 1_000; n++) {
      const bucket = Math.floor(drawDelay(1, { baseMs: 200, maxMs: 5_000, jitter }, random) / 10);
      counts[bucket] = (counts[bucket] ?? 0) + 1;
    }
    return {
      name: jitter,
      color: COLORS[i] ?? "",
      points: counts.map((count, at) => [at * 10 + 5, Math.min(count, 240)]),
    };
  });
  return {
    title: "1 000 clients that failed together come back (none: all 1 000 at 200 ms)",
    xLabel: "time after the failure, ms",
    yLabel: "calls per 10 ms",
    xMax: 240,
    yMax: 240,
    series,
  };
}

/**
 * A server that can do 1 000 calls a second is offered more; what it cannot do fails at once and is retried
 * up to three times. Returns attempts per second when that has settled.
 */
function settledLoad(offered: number, withBudget: boolean): number {
  const capacity = 1_000;
  let attempts = offered;
  for (let round = 0; round < 400; round++) {
    const failing = attempts === 0 ? 0 : Math.max(0, 1 - capacity / attempts);
    const budget = withBudget ? createBudget({ ratio: 0.2, floorPerSecond: 10, burst: offered }) : undefined;
    for (let i = 0; budget && i < offered; i++) budget.deposit();
    let next = offered;
    for (let retry = 1, failed = offered * failing; retry <= 3; retry++, failed *= failing) {
      const wanted = Math.round(failed);
      for (let i = 0; i < wanted; i++) if (budget === undefined || budget.withdraw().granted) next++;
    }
    attempts += (next - attempts) / 4;
  }
  return attempts;
}

function overloadPlot(): Plot {
  const offered = Array.from({ length: 21 }, (_, i) => i * 100);
  const line = (name: string, color: string, y: (load: number) => number): Series => ({
    name,
    color,
    points: offered.map((load) => [load, y(load)] as const),
  });
  return {
    title: "Attempts under overload, three retries, capacity 1 000 per second",
    xLabel: "requests per second",
    yLabel: "attempts per second",
    xMax: 2_000,
    yMax: 8_000,
    series: [
      line("without budget", COLORS[0] ?? "", (load) => settledLoad(load, false)),
      line("budget 0.2", COLORS[1] ?? "", (load) => settledLoad(load, true)),
      line("requests", "#8a94a0", (load) => load),
    ],
  };
}

writeFileSync(join(docs, "jitter.svg"), drawPlots([jitterPlot(), herdPlot()]));
writeFileSync(join(docs, "overload.svg"), drawPlots([overloadPlot()]));
console.log(
  `at 2 000 requests per second: ${settledLoad(2_000, false).toFixed(0)} attempts without budget, ${settledLoad(2_000, true).toFixed(0)} with`,
);
