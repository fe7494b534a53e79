import { spawn } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { eventually, seededRandom } from "@gatewright/testkit";
import { createChaosFaults } from "./chaos-faults.ts";
import { startChaosTraffic } from "./chaos-traffic.ts";
import { connectionsOf } from "./common-conditions.ts";
import { openStage } from "./stage.ts";
import { whatHoldsWrites } from "./what-holds-writes.ts";
import { readEvidence } from "./write-evidence.ts";

const usage = `usage: chaos:database [--cycles N] [--seed N] [--faults NAME,…] [--rps N] [--replicas N] [--level gateway|package]

Random faults of the database and of the gateways under writes, and a ledger that is checked at the end.
Ends with code 0 when every bar is kept, with 1 when one is missed, with 2 for wrong options.

  --cycles N    faults, one after the other; default 100
  --seed N      the same seed makes the same faults; default 7
  --faults F    only these, e.g. --faults stopServer,failover
  --rps N       writes a second; default 50
  --replicas N  gateways; default 2
  --level L     through the gateway (default), or at the package db-resilience
`;
const { values } = parseArgs({
  options: {
    cycles: { type: "string", default: "100" },
    seed: { type: "string", default: "7" },
    faults: { type: "string", default: "" },
    rps: { type: "string", default: "50" },
    replicas: { type: "string", default: "2" },
    level: { type: "string", default: "gateway" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const numberOf = (option: "cycles" | "seed" | "rps" | "replicas") => {
  const number = Number(values[option]);
  if (Number.isInteger(number) && number > 0) return number;
  process.stderr.write(`--${option} ${values[option]} is not a number above 0\n\n${usage}`);
  process.exit(2);
};
const [cycles, seed, rps] = [numberOf("cycles"), numberOf("seed"), numberOf("rps")];
if (values.level === "package") {
  const bench = join(import.meta.dirname, "../../../packages/db-resilience/bench/chaos.ts");
  const args = ["--conditions=@gatewright/source", bench, String(cycles), String(seed)];
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => child.kill(signal));
  child.once("exit", (code) => process.exit(code ?? 1));
  await new Promise(() => {});
}

/** How long writes may take to resume at every replica once a fault is over. */
const resumeMs = 20_000;

// What was started ends with this process, however that ends.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
const random = seededRandom(seed);
const stage = await openStage({
  pair: "synchronous",
  redis: true,
  replicas: numberOf("replicas"),
  database: {
    pool: { acquireTimeoutMs: 1_000 },
    statementTimeoutMs: 1_500,
    checkIntervalMs: 250,
  },
});
const faults = createChaosFaults(stage, random);
const wanted = values.faults.split(",").filter(Boolean);
const stranger = wanted.find((name) => !faults.names.includes(name));
if (stranger !== undefined) {
  process.stderr.write(`--faults ${stranger}: known are ${faults.names.join(", ")}\n\n${usage}`);
  process.exit(2);
}
const names = wanted.length === 0 ? faults.names : wanted;
const startedMs = performance.now();
const pids = stage.replicas.map(({ gateway }) => gateway.pid);
const traffic = await startChaosTraffic(stage, faults, rps);
const problems: string[] = [];
const resumed: number[] = [];
const tell = (cycle: number, name: string, what: string) => {
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(0);
  console.log(
    `${String(cycle).padStart(4)}/${cycles}  ${seconds.padStart(5)} s  ${name.padEnd(12)}  ${what}`,
  );
};
for (let cycle = 1; cycle <= cycles; cycle++) {
  const name = names[Math.floor(random() * names.length)] ?? "reset";
  await faults.run(name);
  stage.heal();
  const healedMs = performance.now();
  const before = new Map(traffic.acknowledged);
  try {
    await eventually(
      () =>
        stage.replicas.every(
          (each) => (traffic.acknowledged.get(each.name) ?? 0) > (before.get(each.name) ?? 0) + 2,
        ),
      { timeoutMs: resumeMs },
    );
    resumed.push(performance.now() - healedMs);
    tell(cycle, name, `writes resumed after ${resumed.at(-1)?.toFixed(0)} ms`);
  } catch {
    problems.push(`cycle ${cycle} (${name}): writes did not resume within ${resumeMs} ms`);
    tell(cycle, name, `writes did NOT resume within ${resumeMs} ms`);
    for (const line of await whatHoldsWrites(stage, faults.primary)) console.log(line);
  }
}
await traffic.stop();

const evidence = await readEvidence(faults.primary);
problems.push(...evidence.problems);
const report = traffic.ledger.settle(evidence.effects);
let leaked = 0;
for (const { name, rest, gateway } of stage.replicas) {
  await eventually(
    async () => {
      const { body } = await rest("/admin/database");
      return body.checkedOut === 0 && body.waiting === 0;
    },
    { timeoutMs: 2_000 },
  ).catch(() => leaked++);
  // The server may still be ending those whose line the last fault took.
  await eventually(async () => (await connectionsOf(faults.primary, { name })).pooled <= 15, {
    timeoutMs: 5_000,
  }).catch(async () => {
    const { pooled } = await connectionsOf(faults.primary, { name });
    problems.push(`${name} holds ${pooled} connections`);
  });
  if (/uncaughtException|unhandledRejection|Unhandled/.test(gateway.logs()))
    problems.push(`${name}: something was not caught`);
}
const crashes = stage.replicas.filter(
  ({ gateway }, index) => !gateway.running || gateway.pid !== pids[index],
).length;
problems.push(...new Set([...stage.problems, ...traffic.problems]));
resumed.sort((a, b) => a - b);
const bars: readonly (readonly [string, number, number])[] = [
  ["acknowledged writes lost", report.lost, 0],
  ["writes doubled", report.doubled, 0],
  ["crashes", crashes, 0],
  ["replicas with leaked slots", leaked, 0],
  ["MCP calls failed", traffic.calls.failed, 0],
  ["other problems", problems.length, 0],
];
console.log(
  `\nseed ${seed}, ${cycles} cycles, ${faults.failovers} failovers, ${stage.replicas.length} replicas, ${rps} writes a second:\n` +
    `${report.writes} writes, ${report.acknowledged} acknowledged, ${report.refused} refused, ${report.unknown} unknown, ${traffic.heldBack} held back; ` +
    `${traffic.calls.made} MCP calls; writes resumed after ${resumed[resumed.length >> 1]?.toFixed(0)} ms (median), ${resumed.at(-1)?.toFixed(0)} ms (slowest)\n`,
);
console.log(`${"bar".padEnd(28)}${"seen".padStart(6)}${"most".padStart(6)}`);
for (const [what, figure, bar] of bars) {
  const verdict = figure <= bar ? "kept" : "MISSED";
  console.log(`${what.padEnd(28)}${String(figure).padStart(6)}${String(bar).padStart(6)}   ${verdict}`);
}
for (const problem of problems.slice(0, 20)) console.log(problem);
await faults.close();
await stage.close();
process.exit(bars.every(([, figure, bar]) => figure <= bar) ? 0 : 1);
