/**
 * Random faults under 50 writes per second, with a ledger: `node --conditions=@gatewright/source bench/chaos.ts [cycles] [seed]`.
 * Ends with code 1 when an acknowledged write is lost or doubled, a refused one is there, a transaction is there
 * by half, a slot leaked, or anything was thrown that nobody caught.
 */
import {
  eventually,
  type PostgresServer,
  type PostgresStandby,
  seededRandom,
  startPostgres,
  startPostgresStandby,
} from "@gatewright/testkit";
import { createResilientDatabase, DatabaseError } from "../src/index.ts";
import { createFaultProxy, type FaultProxy } from "../src/testing/index.ts";

const cycles = Number(process.argv[2] ?? 100);
const seed = Number(process.argv[3] ?? 1);
const random = seededRandom(seed);
const writesPerSecond = 50;
const problems: string[] = [];
process.on("uncaughtException", (error) => problems.push(`uncaughtException: ${error.stack}`));
process.on("unhandledRejection", (error) =>
  problems.push(`unhandledRejection: ${(error as Error)?.stack ?? error}`),
);

interface Place {
  server: PostgresServer;
  proxy: FaultProxy;
}

let standbys = 0;
async function addStandby(primary: PostgresServer): Promise<PostgresStandby> {
  const standby = await startPostgresStandby(primary, { name: `standby${++standbys}` });
  await primary.query("alter system set synchronous_standby_names = '*'");
  await primary.query("select pg_reload_conf()");
  await eventually(
    async () =>
      (await primary.query("select 1 from pg_stat_replication where sync_state = 'sync'")).length === 1,
  );
  return standby;
}

const first = await startPostgres();
await first.query("create table ledger (n int, part int, primary key (n, part))");
await first.query(
  "create table gatewright_tx (id uuid primary key, pid int not null, backend_start timestamptz not null, created_at timestamptz not null default now())",
);
let primary: Place = { server: first, proxy: await createFaultProxy({ upstream: first }) };
const follower = await addStandby(first);
let standby: Place = { server: follower, proxy: await createFaultProxy({ upstream: follower }) };

const database = createResilientDatabase({
  hosts: [primary.proxy, standby.proxy].map(({ host, port }) => ({ host, port })),
  user: first.user,
  password: first.password,
  database: "postgres",
  pool: { acquireTimeoutMs: 1_000, connectTimeoutMs: 1_000, validationTimeoutMs: 500 },
  timeouts: { statementMs: 1_000, statementGraceMs: 200 },
  monitor: { intervalMs: 250 },
});
await database.untilReady();

type Fate = "acknowledged" | "refused" | "unknown";
const fates: Fate[] = [];
const pending = new Set<Promise<void>>();
async function write(n: number): Promise<void> {
  try {
    await database.transaction(
      async (tx) => {
        await tx.query("insert into ledger values ($1, 1)", [n]);
        await tx.query("insert into ledger values ($1, 2)", [n]);
      },
      n % 2 === 0 ? { settle: true } : {},
    );
    fates[n] = "acknowledged";
  } catch (error) {
    if (!DatabaseError.is(error)) problems.push(`write ${n}: ${(error as Error).stack}`);
    fates[n] = DatabaseError.is(error) && error.code === "outcome_unknown" ? "unknown" : "refused";
    if (DatabaseError.is(error) && error.httpStatus !== 503)
      problems.push(`write ${n}: ${error.code} ${error.sqlState} ${error.cause}`);
  }
}
let next = 0;
const start = performance.now();
const traffic = setInterval(() => {
  const due = ((performance.now() - start) / 1_000) * writesPerSecond;
  while (next < due) {
    const one: Promise<void> = write(next++).finally(() => pending.delete(one));
    pending.add(one);
  }
}, 10);

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const faults: Record<string, () => Promise<void>> = {
  async restart() {
    await primary.server.restart();
  },
  async kill() {
    await primary.server.kill();
    await pause(200);
    await primary.server.restart();
  },
  async failover() {
    await primary.server.kill();
    await (standby.server as PostgresStandby).promote();
    const old = primary;
    primary = standby;
    // The dead server's place is taken by a standby of the new primary.
    const fresh = await addStandby(primary.server);
    old.proxy.setUpstream({ host: fresh.host, port: fresh.port });
    old.proxy.resetConnections();
    await old.server.close();
    standby = { server: fresh, proxy: old.proxy };
  },
  async cutAtCommit() {
    const position = random() < 0.5 ? "before" : "after";
    const mode = (["rst", "fin", "blackhole"] as const)[Math.floor(random() * 3)] ?? "rst";
    primary.proxy.set({ up: { cutAt: { pattern: "commit", position, mode, times: 3 } } });
    await pause(500);
  },
  async blackhole() {
    primary.proxy.set({ both: { blackhole: true } });
    await pause(300 + random() * 1_500);
  },
  async reset() {
    primary.proxy.resetConnections();
  },
  async halfOpen() {
    primary.proxy.leaveHalfOpen("client");
  },
  async stopped() {
    primary.server.pause();
    await pause(300 + random() * 1_500);
    primary.server.resume();
  },
  async latency() {
    primary.proxy.set({ both: { latencyMs: 100, jitterMs: 100 } });
    await pause(500);
  },
  async terminate() {
    await primary.server.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'gatewright%'",
    );
  },
};

const names = Object.keys(faults);
for (let cycle = 1; cycle <= cycles; cycle++) {
  const name = names[Math.floor(random() * names.length)] ?? "reset";
  await faults[name]?.();
  primary.proxy.heal();
  standby.proxy.heal();
  const healed = performance.now();
  const before = fates.filter((fate) => fate === "acknowledged").length;
  await eventually(() => fates.filter((fate) => fate === "acknowledged").length > before + 5, {
    timeoutMs: 15_000,
  }).catch((error: Error) => {
    problems.push(
      `cycle ${cycle} (${name}): writes did not resume: ${error.message}; ${JSON.stringify(database.readiness())}`,
    );
  });
  console.log(
    `${String(cycle).padStart(3)} ${name.padEnd(12)} writes resumed after ${(performance.now() - healed).toFixed(0)} ms`,
  );
}
clearInterval(traffic);
await Promise.all(pending);

await eventually(() => database.stats().checkedOut === 0 && database.stats().waiting === 0, {
  timeoutMs: 2_000,
}).catch(() => {
  problems.push(`slots leaked: ${JSON.stringify(database.stats())}`);
});
const rows = await primary.server.query<{ n: number; parts: number }>(
  "select n, count(*)::int as parts from ledger group by n",
);
const there = new Map(rows.map(({ n, parts }) => [n, parts]));
for (const [n, fate] of fates.entries()) {
  const parts = there.get(n) ?? 0;
  if (parts === 1) problems.push(`write ${n} is there by half`);
  if (fate === "acknowledged" && parts !== 2) problems.push(`write ${n} was acknowledged and is lost`);
  if (fate === "refused" && parts !== 0) problems.push(`write ${n} was refused and is there`);
}
const count = (fate: Fate) => fates.filter((one) => one === fate).length;
console.log(
  `\nseed ${seed}, ${cycles} cycles, ${fates.length} writes: ${count("acknowledged")} acknowledged, ${count("refused")} refused, ` +
    `${count("unknown")} unknown; failovers ${database.stats().failovers}; problems ${problems.length}`,
);
for (const problem of problems.slice(0, 20)) console.log(problem);
await database.close();
await Promise.all([primary, standby].flatMap(({ server, proxy }) => [server.close(), proxy.close()]));
process.exit(problems.length === 0 ? 0 : 1);
