/**
 * How long a switch takes until 24 processes over one Redis have acknowledged it: idle, under traffic, without PUBLISH.
 * The floor is what as many processes of bare ioredis need for the same commands.
 */
import { startRedis } from "@gatewright/testkit";
import { Fleet } from "../test/fleet.ts";
import type { Decision } from "../test/fleet-worker.ts";
import { measureFloor } from "./toggle-floor.ts";

const REPLICAS = 24;
const TOGGLES = 40;

await using redis = await startRedis();
const fleet = new Fleet({ port: redis.port, fileMode: "enforce", limit: 5 });
await fleet.grow(REPLICAS);
const [admin] = fleet.workers;
if (admin === undefined) throw new Error("no fleet");

interface Row {
  readonly acks: number[];
  readonly slowest: number[];
  stale: number;
  calls: number;
}

async function measure(title: string, options: { traffic: boolean; publish: boolean }): Promise<void> {
  const row: Row = { acks: [], slowest: [], stale: 0, calls: 0 };
  await fleet.all("suppress", { on: !options.publish });
  for (let toggle = 0; toggle < TOGGLES; toggle++) {
    const mode = toggle % 2 === 0 ? "disabled" : "enforce";
    if (options.traffic) await fleet.all("start", { user: "hot", everyMs: 5 });
    const { report, returnedAt } = await admin!.set(mode, {
      waitFor: "all",
      wipe: "never",
      timeoutMs: 5_000,
    });
    if (!report.converged) throw new Error(report.reason);
    row.acks.push(...report.acked.map(({ ms }) => ms));
    row.slowest.push(report.maxMs);
    if (options.traffic) {
      const until = performance.now() + 30;
      while (performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 5));
      const decisions = (await fleet.all<Decision[]>("stop")).flat();
      row.calls += decisions.length;
      row.stale += decisions.filter(({ at, mode: under }) => at > returnedAt && under !== mode).length;
    }
  }
  const stale = options.traffic ? `${row.stale} of ${row.calls}` : "";
  console.log(`| ${title} | ${median(row.acks)} | ${Math.max(...row.slowest).toFixed(1)} | ${stale} |`);
}

function median(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.floor(sorted.length / 2)] ?? 0).toFixed(1);
}

console.log(
  `| ${TOGGLES} switches, ${REPLICAS} processes | median ack ms | max ack ms | stale after converged |\n|---|---|---|---|`,
);
await measure("idle", { traffic: false, publish: true });
await measure("under traffic", { traffic: true, publish: true });
await measure("idle, PUBLISH suppressed", { traffic: false, publish: false });
await measure("under traffic, PUBLISH suppressed", { traffic: true, publish: false });
await fleet.close();
const floor = await measureFloor(redis, REPLICAS, TOGGLES);
console.log(`| floor: bare ioredis, idle | ${median(floor)} | ${Math.max(...floor).toFixed(1)} | |`);
