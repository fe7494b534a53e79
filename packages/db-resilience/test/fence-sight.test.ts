import { eventually, type PostgresPair, type PostgresServer, startPostgresPair } from "@gatewright/testkit";
import { describe, expect } from "vitest";
import { createMemoryFenceStore } from "../src/index.ts";
import type { FaultProxy } from "../src/testing/index.ts";
import {
  cancelRunning,
  type Keep,
  keepDatabase,
  type Outcome,
  type openDatabase,
  proxyOf,
  running,
  type Subject,
  test,
  timed,
} from "./support.ts";

const short = {
  pool: { min: 0, acquireTimeoutMs: 300 },
  timeouts: { statementMs: 500 },
  monitor: { intervalMs: 100 },
} as const;

function open(keep: Keep, ...[hosts, options, deps]: Parameters<typeof openDatabase>): Subject {
  return keepDatabase(keep, hosts, { ...short, targetSessionAttrs: "read-write", ...options }, deps);
}

/** A pair whose standby is reached through a proxy. */
async function pairBehindProxy(keep: Keep): Promise<{ pair: PostgresPair; proxy: FaultProxy }> {
  const pair = keep(await startPostgresPair());
  await pair.primary.query("create table t (n int primary key)");
  await pair.caughtUp();
  const proxy = keep(await proxyOf(pair.standby));
  return { pair, proxy };
}

const insert = (subject: Subject, n: number) =>
  timed(() => subject.database.query("insert into t values ($1)", [n]));
/** The old primary is admitted, and has a row. */
async function begin({ database }: Subject, pair: PostgresPair, n = 1): Promise<void> {
  await pair.primary.query(`insert into t values (${n})`);
  await eventually(async () => (await timed(() => database.query("select 1"))).status === 200);
  await pair.caughtUp();
}
const rows = async (server: PostgresServer) =>
  (await server.query<{ n: number }>("select n from t order by n")).map(({ n }) => n);
const sees = (subject: Subject, timeline: number) =>
  eventually(() => subject.database.readiness().timeline === timeline, { intervalMs: 5, timeoutMs: 5_000 });

async function insertSome(subject: Subject, from: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (let n = from; n < from + 8; n++) outcomes.push(await insert(subject, n));
  return outcomes;
}

describe.concurrent("FO-03 after the sight of a later timeline nothing is written to the old primary", () => {
  test("while the new one waits for a standby of its own", async ({ keep }) => {
    const { pair } = await pairBehindProxy(keep);
    const subject = open(keep, [pair.primary, pair.standby], { pool: { min: 0, acquireTimeoutMs: 2_000 } });
    await begin(subject, pair);
    await pair.standby.query("alter system set synchronous_standby_names = '*'");
    await pair.standby.query("select pg_reload_conf()");
    await pair.promote();
    await sees(subject, 2);
    // A caller is there when the attempt to write the branch ends.
    await Promise.all([insertSome(subject, 10), insertSome(subject, 20)]);
    expect(await rows(pair.primary)).toEqual([1]);
  });

  test("while the new one takes no connection, nor when it is gone again; an operator's word ends that", async ({
    keep,
  }) => {
    const { pair, proxy } = await pairBehindProxy(keep);
    const subject = open(keep, [pair.primary, proxy]);
    await begin(subject, pair);
    proxy.set({ connect: "reset" });
    await pair.promote();
    await sees(subject, 2);
    // What keeps the new one from being used is what callers hear.
    for (const { status, code } of await insertSome(subject, 10))
      expect([status, code]).toEqual([503, "db_unavailable"]);
    expect(await rows(pair.primary)).toEqual([1]);

    await pair.standby.stop();
    await eventually(() => subject.database.stats().hosts[1]?.state === "down");
    for (const { status, code } of await insertSome(subject, 30))
      expect([status, code]).toEqual([503, "db_fenced"]);
    expect(subject.database.readiness()).toMatchObject({ state: "unavailable", reason: "fenced" });
    expect(await rows(pair.primary)).toEqual([1]);

    await subject.database.resetFence();
    expect((await insert(subject, 50)).status).toBe(200);
  });

  test("by a statement that waits for its turn meanwhile", async ({ keep }) => {
    const { pair } = await pairBehindProxy(keep);
    const subject = open(keep, [pair.primary, pair.standby], { timeouts: { statementMs: 0 } });
    await begin(subject, pair);
    const ended = subject.database.withConnection((session) =>
      Promise.all([
        timed(() => session.query("select pg_sleep(3600)")),
        timed(() => session.query("insert into t values (2)")),
        timed(() => session.query("insert into t values (3)")),
      ]),
    );
    await running(pair.primary, "%pg_sleep(3600)%");
    await pair.promote();
    // Until then nobody can know.
    await sees(subject, 2);
    await eventually(async () => (await insert(subject, 10)).status === 200);
    expect(await rows(pair.standby)).toEqual([1, 10]);
    await cancelRunning(pair.primary, "%pg_sleep(3600)%");
    expect((await ended).map(({ code }) => code)).toEqual(["db_timeout", "db_fenced", "db_fenced"]);
    expect(await rows(pair.primary)).toEqual([1]);
  });

  test("and without a call readiness says so, until the new one is back", async ({ keep }) => {
    const { pair, proxy } = await pairBehindProxy(keep);
    const subject = open(keep, [pair.primary, proxy]);
    await begin(subject, pair);
    proxy.set({ connect: "reset" });
    await pair.promote();
    await sees(subject, 2);
    await pair.standby.stop();
    await eventually(() => subject.database.readiness().reason === "fenced");
    await pair.standby.restart();
    proxy.set({ connect: "forward" });
    await eventually(() => subject.database.readiness().state === "ready", { timeoutMs: 5_000 });
    expect(subject.database.readiness().timeline).toBe(2);
  });

  test("by a process that reaches the old one alone, once the store has been told by another", async ({
    keep,
  }) => {
    const { pair, proxy } = await pairBehindProxy(keep);
    const fenceStore = createMemoryFenceStore();
    const fencing = { leaseMs: 100 };
    const subject = open(keep, [pair.primary, proxy], { fencing }, { fenceStore });
    const other = open(keep, [pair.primary], { fencing }, { fenceStore });
    await begin(subject, pair);
    await begin(other, pair, 2);
    proxy.set({ connect: "reset" });
    await pair.promote();
    await eventually(async () => (await fenceStore.read())?.timeline === 2);
    await eventually(async () => (await insert(other, 3)).code === "db_fenced", { intervalMs: 110 });
    for (const { code } of await insertSome(other, 10)) expect(code).toBe("db_fenced");
    expect((await rows(pair.primary)).filter((n) => n >= 10)).toEqual([]);

    // Who writes first on the new timeline gives it its branch.
    proxy.set({ connect: "forward" });
    await eventually(async () => (await insert(subject, 60)).status === 200, { intervalMs: 50 });
    expect((await fenceStore.read())?.branch).not.toBe("");
    expect(await rows(pair.standby)).toContain(60);
  });
});
