/**
 * Cost per query and the bars of the README, against real PostgreSQL in one run: `pnpm bench` in this folder, or
 * `node --conditions=@gatewright/source bench/run.ts [cost|refusal|deadlines|failover …]`; without a name all parts.
 */
import { startPostgres, startPostgresPair } from "@gatewright/testkit";
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import postgresJs from "postgres";
import { createPool, sql as slonikSql } from "slonik";
import { createResilientDatabase } from "../src/index.ts";
import { deadlines } from "./deadlines.ts";

interface Tables {
  t: { n: number; text: string };
}

const rounds = 9;
const queries = 600;

type Call = () => Promise<unknown>;

/** CPU time of this process per call, user and system, in microseconds. */
async function cpuPerCall(call: Call): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < queries; i++) await call();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / queries;
}

/** Median per row of rounds in which every row has its turn, so that a slow moment of the machine is shared by all. */
async function medians(table: readonly (readonly [string, Call])[]): Promise<Map<string, number>> {
  const costs = new Map(table.map(([name]) => [name, [] as number[]]));
  for (let round = -1; round < rounds; round++) {
    for (const [name, call] of table) {
      const cost = await cpuPerCall(call);
      if (round >= 0) costs.get(name)?.push(cost);
    }
  }
  return new Map(
    [...costs].map(([name, all]) => [name, all.sort((a, b) => a - b)[rounds >> 1] ?? Number.NaN]),
  );
}

async function costPerQuery(): Promise<void> {
  await using server = await startPostgres();
  await server.query("create table t (n int primary key, text text)");
  await server.query("insert into t select n, 'text ' || n from generate_series(1, 1000) n");
  const text = "select n, text from t where n = $1";

  const client = await server.client();
  const pool = new pg.Pool({ connectionString: server.url, max: 5 });
  const plainKysely = new Kysely<Tables>({
    dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: server.url, max: 5 }) }),
  });
  const ours = createResilientDatabase<Tables>({ connectionString: server.url });
  const prePing = createResilientDatabase<Tables>({
    connectionString: server.url,
    pool: { validateIdleAfterMs: 0 },
  });
  const postgres = postgresJs(server.url, { max: 5 });
  const slonik = await createPool(server.url, { maximumPoolSize: 5 });
  const select = (db: Kysely<Tables>) =>
    db.selectFrom("t").select(["n", "text"]).where("n", "=", 7).execute();

  const table: [string, () => Promise<unknown>][] = [
    ["pg Client", () => client.query(text, [7])],
    ["pg Pool", () => pool.query(text, [7])],
    ["this package, query()", () => ours.query(text, [7])],
    ["Kysely on pg Pool", () => select(plainKysely)],
    ["this package, Kysely", () => select(ours.kysely)],
    ["this package, Kysely, ping on every checkout", () => select(prePing.kysely)],
    ["postgres.js", () => postgres`select n, text from t where n = ${7}`],
    ["slonik", () => slonik.any(slonikSql.unsafe`select n, text from t where n = ${7}`)],
  ];
  console.log(`\nCPU per query, user and system (µs, median of ${rounds} × ${queries}, the rows by turns)\n`);
  const costs = await medians(table);
  for (const [name, cost] of costs) console.log(`${name.padEnd(48)} ${cost.toFixed(1).padStart(7)}`);
  const added = (costs.get("this package, Kysely") ?? 0) - (costs.get("Kysely on pg Pool") ?? 0);
  console.log(`\nadded to Kysely on a bare pool: ${added.toFixed(1)} µs (bar: 10)`);
  await Promise.all([
    client.end(),
    ours.close(),
    prePing.close(),
    postgres.end({ timeout: 1 }),
    slonik.end(),
    pool.end(),
    plainKysely.destroy(),
  ]);
}

async function refusal(): Promise<void> {
  await using server = await startPostgres();
  await using ours = createResilientDatabase({ connectionString: server.url });
  await ours.untilReady();
  await server.stop();
  while (ours.readiness().state === "ready") await new Promise((resolve) => setTimeout(resolve, 10));
  const refusals: number[] = [];
  for (let i = 0; i < 2_000; i++) {
    const start = performance.now();
    await ours.query("select 1").catch(() => {});
    refusals.push(performance.now() - start);
  }
  refusals.sort((a, b) => a - b);
  console.log(
    `refusal while the server is down: p99 ${refusals[1_980]?.toFixed(3)} ms (bar: 5), the longest ${refusals.at(-1)?.toFixed(3)} ms (CL-01, bar: 50)`,
  );
}

async function failover(): Promise<void> {
  const times: number[] = [];
  for (let round = 0; round < 3; round++) {
    await using pair = await startPostgresPair({ synchronous: true });
    await using database = createResilientDatabase({
      hosts: [pair.primary, pair.standby].map(({ host, port }) => ({ host, port })),
      user: pair.primary.user,
      password: pair.primary.password,
      database: "postgres",
    });
    await database.query("create table t (n int)");
    await pair.primary.kill();
    await pair.promote();
    const promoted = performance.now();
    for (let done = false; !done; ) {
      done = await database.query("insert into t values (1)").then(
        () => true,
        () => false,
      );
      if (!done) await new Promise((resolve) => setTimeout(resolve, 10));
    }
    times.push(performance.now() - promoted);
  }
  console.log(
    `writes resume after a promotion: ${times.map((ms) => ms.toFixed(0)).join(", ")} ms (bar: 3 000)`,
  );
}

const parts = { cost: costPerQuery, refusal, deadlines, failover };
const chosen = process.argv.slice(2);
for (const [name, run] of Object.entries(parts))
  if (chosen.length === 0 || chosen.includes(name)) await run();
process.exit(0);
