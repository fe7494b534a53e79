import {
  eventually,
  type PostgresPair,
  type PostgresServer,
  startPostgres,
  startPostgresPair,
  startPostgresStandby,
} from "@gatewright/testkit";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createMemoryFenceStore, type FenceStore } from "../src/index.ts";
import { createFaultProxy } from "../src/testing/index.ts";
import { expectAtRest, load, openDatabase, type Subject, timed } from "./support.ts";

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function pairOf(options: Parameters<typeof startPostgresPair>[0] = {}): Promise<PostgresPair> {
  const pair = await startPostgresPair(options);
  opened.push(pair);
  await pair.primary.query("create table t (n int primary key)");
  return pair;
}

function open(...[hosts, options, deps]: Parameters<typeof openDatabase>): Subject {
  const subject = openDatabase(hosts, options, deps);
  opened.push({ close: () => subject.database.close({ deadlineMs: 100 }) });
  return subject;
}

/** A store that can lose everything, as a Redis without persistence does. */
function forgettingStore(): FenceStore & { forget(): void } {
  let store = createMemoryFenceStore();
  return {
    read: () => store.read(),
    raise: (fence) => store.raise(fence),
    overrule: (era) => store.overrule(era),
    forget() {
      store = createMemoryFenceStore();
    },
  };
}

const insert = (subject: Subject, n: number) =>
  timed(() => subject.database.query("insert into t values ($1)", [n]));
const rows = async (server: PostgresServer) =>
  (await server.query<{ n: number }>("select n from t order by n")).map(({ n }) => n);

describe("several servers", () => {
  it("FO-01 failover to a promoted standby: writes resume, every acknowledged write is there, counted once", async () => {
    const pair = await pairOf({ synchronous: true });
    const subject = open([pair.primary, pair.standby], { targetSessionAttrs: "read-write" });
    await subject.database.untilReady();
    const acknowledged: number[] = [];
    const traffic = load(50, async (n) => {
      await subject.database.query("insert into t values ($1)", [n]);
      acknowledged.push(n);
    });
    await eventually(() => acknowledged.length > 20);
    await pair.primary.kill();
    await eventually(() => subject.database.readiness().state === "unavailable");
    await pair.promote();
    const promoted = performance.now();
    const before = acknowledged.length;
    await eventually(() => acknowledged.length > before, { timeoutMs: 10_000 });
    const resumedMs = performance.now() - promoted;
    expect(resumedMs).toBeLessThan(10_000);
    await eventually(() => acknowledged.length > before + 20);
    await traffic.stop();
    const there = new Set(await rows(pair.standby));
    expect(acknowledged.filter((n) => !there.has(n))).toEqual([]);
    expect(subject.database.stats().failovers).toBe(1);
    expect(subject.events.filter(({ type }) => type === "db_failover").length).toBe(1);
    expect(subject.events.filter(({ type }) => type === "db_tail_may_be_lost")).toEqual([]);
    expect(subject.database.readiness()).toMatchObject({
      state: "ready",
      timeline: 2,
      host: `127.0.0.1:${pair.standby.port}`,
    });
    await expectAtRest(subject, pair.standby);
  });

  it("FO-01 says so when the old primary had acknowledged writes without its standby", async () => {
    const pair = await pairOf();
    const subject = open([pair.primary, pair.standby]);
    expect((await insert(subject, 1)).status).toBe(200);
    await pair.caughtUp();
    await pair.primary.stop();
    await pair.promote();
    await eventually(async () => (await insert(subject, 2)).status === 200, {
      timeoutMs: 10_000,
      intervalMs: 50,
    });
    expect(subject.events.some(({ type }) => type === "db_tail_may_be_lost")).toBe(true);
  });

  it("FO-01 a demoted primary: eleven writes of eleven arrive at the new one", async () => {
    const pair = await pairOf();
    // A proxy that changes its server under open connections' successors, as a changed DNS entry does.
    const proxy = await createFaultProxy({ upstream: pair.primary });
    opened.push(proxy);
    const subject = open([proxy, pair.standby], { monitor: { intervalMs: 60_000 } });
    expect((await insert(subject, 0)).status).toBe(200);
    await pair.caughtUp();
    await pair.promote();
    // The old primary stays reachable, but takes no more writes.
    await pair.primary.query("alter system set default_transaction_read_only = on");
    await pair.primary.query("select pg_reload_conf()");
    await eventually(async () => {
      const [row] = await pair.primary.query("show transaction_read_only");
      return row?.["transaction_read_only"] === "on";
    });
    await eventually(
      async () => (await pair.standby.query("select pg_is_in_recovery() as r"))[0]?.["r"] === false,
    );
    const outcomes = [];
    for (let n = 1; n <= 11; n++) outcomes.push(await insert(subject, n));
    expect(outcomes.map(({ status }) => status)).toEqual(Array.from({ length: 11 }, () => 200));
    expect((await rows(pair.standby)).length).toBe(12);

    // A transaction asks for the roles again, and is run anew.
    const other = open([pair.primary], { targetSessionAttrs: "any" });
    const outcome = await timed(() =>
      other.database.transaction(async (tx) => {
        const inserted = tx.query("insert into t values (99)");
        if (tx.attempt > 1) return inserted;
        const refusal: unknown = await inserted.catch((error: unknown) => error);
        const admin = await pair.primary.client({ options: "-c default_transaction_read_only=off" });
        await admin.query("alter system reset default_transaction_read_only");
        await admin.query("select pg_reload_conf()");
        await admin.end();
        await eventually(
          async () =>
            (await pair.primary.query("show transaction_read_only"))[0]?.["transaction_read_only"] === "off",
        );
        throw refusal;
      }),
    );
    expect(outcome.status).toBe(200);
    expect(await rows(pair.primary)).toEqual([0, 99]);
  });

  it("TX-03 a COMMIT that was done by the old primary alone is settled by the new one: absent, and made anew", async () => {
    const primary = await startPostgres();
    opened.push(primary);
    await primary.query("create table t (n int primary key)");
    // The standby streams through a line of its own, which can fall silent.
    const stream = await createFaultProxy({ upstream: primary });
    opened.push(stream);
    const standby = await startPostgresStandby({ ...primary, port: stream.port });
    opened.push(standby);
    const line = await createFaultProxy({ upstream: primary });
    opened.push(line);
    const subject = open([line, standby]);
    const settled = { settle: true, deadlineMs: 14_000 };
    await subject.database.transaction((tx) => tx.query("insert into t values (1)"), settled);
    await eventually(async () => (await rows(standby)).length === 1);
    stream.set({ both: { blackhole: true } });
    const attempts: string[] = [];
    const outcome = timed(() =>
      subject.database.transaction((tx) => {
        attempts.push(tx.host);
        // The old primary commits, and is not asked about it any more.
        line.set({ connect: "reset", up: { cutAt: { pattern: "commit", position: "after" } } });
        return tx.query("insert into t values (2)");
      }, settled),
    );
    await eventually(async () => (await rows(primary)).includes(2));
    line.resetConnections();
    await primary.kill();
    await standby.promote();
    expect(await outcome).toMatchObject({ status: 200 });
    expect(attempts).toEqual([`127.0.0.1:${line.port}`, `127.0.0.1:${standby.port}`]);
    expect(await rows(standby)).toEqual([1, 2]);
    expect(subject.events).toContainEqual({ type: "db_outcome_unknown", settled: "aborted" });
  });

  it("FO-03 the old primary back and writable beside the new one gets no write, whoever starts when", async () => {
    const pair = await pairOf({ synchronous: true });
    const store = forgettingStore();
    const subject = open([pair.primary, pair.standby], {}, { fenceStore: store });
    expect((await insert(subject, 1)).status).toBe(200);
    await pair.primary.kill();
    await pair.promote();
    await eventually(async () => (await insert(subject, 2)).status === 200, {
      timeoutMs: 10_000,
      intervalMs: 50,
    });
    await pair.primary.query("select 1").catch(() => {});
    await pair.primary.restart();
    await pair.primary.query("alter system set synchronous_standby_names = ''");
    await pair.primary.query("select pg_reload_conf()");
    await eventually(() => subject.database.stats().hosts.every(({ state }) => state === "up"));
    const late = open([pair.primary, pair.standby], {}, { fenceStore: store });
    const unaware = open([pair.primary, pair.standby]);
    for (let n = 10; n < 40; n += 3) {
      expect((await insert(subject, n)).status).toBe(200);
      expect((await insert(late, n + 1)).status).toBe(200);
      expect((await insert(unaware, n + 2)).status).toBe(200);
    }
    expect(await rows(pair.primary)).toEqual([1]);
    expect((await rows(pair.standby)).length).toBe(32);

    // With the new one gone, the old one is still no place to write to, until an operator says so.
    await pair.standby.stop();
    await eventually(() => subject.database.stats().hosts.some(({ state }) => state === "down"));
    expect(await insert(subject, 90)).toMatchObject({ status: 503, code: "db_fenced" });
    expect(await insert(late, 91)).toMatchObject({ status: 503, code: "db_fenced" });
    expect(await insert(unaware, 93)).toMatchObject({ status: 503, code: "db_fenced" });
    // A store that has lost everything is told again by those who remember, before one who does not comes to it.
    store.forget();
    expect(await insert(late, 94)).toMatchObject({ status: 503, code: "db_fenced" });
    const forgetful = open([pair.primary], { targetSessionAttrs: "read-write" }, { fenceStore: store });
    expect(await insert(forgetful, 95)).toMatchObject({ status: 503, code: "db_fenced" });
    expect(subject.database.readiness()).toMatchObject({ state: "unavailable", reason: "fenced" });
    expect(await rows(pair.primary)).toEqual([1]);
    await subject.database.resetFence();
    expect((await insert(subject, 92)).status).toBe(200);
    expect(subject.database.readiness().state).toBe("ready");
    // Those who share the store follow; one that does not needs the command itself.
    await eventually(async () => (await insert(late, 96)).status === 200);
    expect(await insert(unaware, 97)).toMatchObject({ code: "db_fenced" });
    await unaware.database.resetFence();
    expect((await insert(unaware, 98)).status).toBe(200);
  });

  it("FO-03 who waits for the old primary hears at once that another has taken its place", async () => {
    const pair = await pairOf();
    const pool = { size: 1, overflow: 0, acquireTimeoutMs: 20_000 };
    const subject = open([pair.primary, pair.standby], { pool });
    expect((await insert(subject, 1)).status).toBe(200);
    await pair.caughtUp();
    await subject.database.withConnection(async () => {
      const waiting = insert(subject, 2);
      await eventually(() => subject.database.stats().waiting === 1);
      await pair.promote();
      const promoted = performance.now();
      expect(await waiting).toMatchObject({ status: 503, code: "db_fenced" });
      expect(performance.now() - promoted).toBeLessThan(5_000);
      // Nobody had to ask for the new one to be found.
      expect(subject.database.stats().failovers).toBe(1);
      expect((await insert(subject, 3)).status).toBe(200);
    });
    expect(await rows(pair.primary)).toEqual([1]);
  });

  it("FO-03 of two standbys promoted apart, with the same timeline, only one is written to", async () => {
    const pair = await pairOf();
    const second = await startPostgresStandby(pair.primary, { name: "second" });
    opened.push(second);
    await pair.caughtUp();
    await pair.primary.kill();
    await Promise.all([pair.standby.promote(), second.promote()]);
    const store = createMemoryFenceStore();
    const one = open([pair.standby, second], {}, { fenceStore: store });
    expect((await insert(one, 1)).status).toBe(200);
    const other = open([second, pair.standby], {}, { fenceStore: store });
    expect((await insert(other, 2)).status).toBe(200);
    expect([await rows(pair.standby), await rows(second)]).toEqual([[1, 2], []]);
    await pair.standby.kill();
    await eventually(() => one.database.stats().hosts.some(({ state }) => state === "down"));
    expect(await insert(one, 3)).toMatchObject({ code: "db_fenced" });
  });
});

describe("several servers, all well", () => {
  let pair: PostgresPair;
  beforeAll(async () => {
    pair = await startPostgresPair();
    await pair.primary.query("create table t (n int primary key)");
  });
  afterEach(() => pair.primary.query("truncate t"));
  afterAll(() => pair.close());

  it("FO-03 a transaction that was begun on the old primary is not committed there after the fence was raised", async () => {
    const store = createMemoryFenceStore();
    const subject = open([pair.primary, pair.standby], { fencing: { leaseMs: 50 } }, { fenceStore: store });
    expect((await insert(subject, 1)).status).toBe(200);
    for (const kysely of [false, true]) {
      const insertTwo = async (query: (text: string) => Promise<unknown>) => {
        await query("insert into t values (2)");
        const fence = await store.read();
        // Another process has seen the promotion that this one has not heard of yet.
        if (fence)
          await store.raise({
            ...fence,
            timeline: fence.timeline + 1,
            branch: "00000000-0000-0000-0000-000000000000",
          });
        await new Promise((resolve) => setTimeout(resolve, 60)); // The lease has to run out.
      };
      const outcome = await timed(() =>
        kysely
          ? subject.database.kysely
              .transaction()
              .execute((tx) => insertTwo((text) => sql.raw(text).execute(tx)))
          : subject.database.transaction((tx) => insertTwo((text) => tx.query(text))),
      );
      expect(outcome.code).toBe("db_fenced");
      expect(await rows(pair.primary)).toEqual([1]);
      await subject.database.resetFence();
    }
  });

  it("FO-03 a statement that has waited for its connection, or follows another on it, needs an admission of its own", async () => {
    const store = createMemoryFenceStore();
    const options = { fencing: { leaseMs: 50 }, pool: { size: 1, overflow: 0 } };
    const subject = open([pair.primary, pair.standby], options, { fenceStore: store });
    expect((await insert(subject, 1)).status).toBe(200);
    let waiting: ReturnType<typeof insert> | undefined;
    const holder = await timed(() =>
      subject.database.withConnection(async (session) => {
        waiting = insert(subject, 2);
        await eventually(() => subject.database.stats().waiting === 1);
        const fence = await store.read();
        if (fence) await store.raise({ ...fence, timeline: fence.timeline + 1, branch: "elsewhere" });
        await new Promise((resolve) => setTimeout(resolve, 60)); // The lease has to run out.
        await session.query("insert into t values (3)");
      }),
    );
    expect(holder).toMatchObject({ status: 503, code: "db_fenced" });
    expect(await waiting).toMatchObject({ status: 503, code: "db_fenced" });
    expect(await rows(pair.primary)).toEqual([1]);
  });

  it("FO-03 who waits for a connection hears at once that its server was replaced", async () => {
    const store = createMemoryFenceStore();
    const options = { fencing: { leaseMs: 50 }, pool: { size: 1, overflow: 0, acquireTimeoutMs: 10_000 } };
    const subject = open([pair.primary, pair.standby], options, { fenceStore: store });
    expect((await insert(subject, 1)).status).toBe(200);
    await subject.database.withConnection(async () => {
      const waiting = insert(subject, 2);
      await eventually(() => subject.database.stats().waiting === 1);
      const fence = await store.read();
      if (fence) await store.raise({ ...fence, timeline: fence.timeline + 1, branch: "elsewhere" });
      // The lease has to run out, and the next look at the server to come.
      const waited = await waiting;
      expect(waited).toMatchObject({ status: 503, code: "db_fenced" });
      expect(waited.ms).toBeLessThan(5_000);
      expect(subject.database.stats()).toMatchObject({ checkedOut: 1, waiting: 0 });
      const late = await insert(subject, 3);
      expect(late).toMatchObject({ status: 503, code: "db_fenced" });
      expect(late.ms).toBeLessThan(5_000);
    });
    expect(await rows(pair.primary)).toEqual([1]);
  });

  it("FO-03 with an empty store and a server unseen, writes are refused or allowed as configured", async () => {
    await pair.standby.stop();
    const careful = open([pair.primary, pair.standby], {}, { fenceStore: createMemoryFenceStore() });
    expect(await insert(careful, 1)).toMatchObject({ status: 503, code: "db_fenced" });
    const bold = open(
      [pair.primary, pair.standby],
      { fencing: { onUnknown: "allow" } },
      { fenceStore: createMemoryFenceStore() },
    );
    expect((await insert(bold, 2)).status).toBe(200);
    const alone = open([pair.primary, pair.standby]);
    expect((await insert(alone, 3)).status).toBe(200);
    await pair.standby.restart();
    await eventually(async () => (await insert(careful, 4)).status === 200, { intervalMs: 50 });
  });

  it("FO-03 without its store a process goes by what it has seen, and a fresh one by what all servers say", async () => {
    let broken = false;
    const memory = createMemoryFenceStore();
    const guarded = <T>(call: () => Promise<T>) =>
      broken ? Promise.reject(new Error("store gone")) : call();
    const store = {
      read: () => guarded(memory.read),
      raise: (fence: Parameters<typeof memory.raise>[0]) => guarded(() => memory.raise(fence)),
      overrule: memory.overrule,
    };
    const old = open([pair.primary, pair.standby], { fencing: { leaseMs: 0 } }, { fenceStore: store });
    expect((await insert(old, 1)).status).toBe(200);
    broken = true;
    expect((await insert(old, 2)).status).toBe(200);
    const fresh = open([pair.primary, pair.standby], {}, { fenceStore: store });
    expect(await insert(fresh, 3)).toMatchObject({ status: 200 });
  });

  it("FO-03 a hanging store or an unanswering server holds no write beyond its acquire timeout", async () => {
    const memory = createMemoryFenceStore();
    let hangs = false;
    const store = {
      ...memory,
      read: () => (hangs ? new Promise<undefined>(() => {}) : memory.read()),
    };
    const subject = open([pair.primary, pair.standby], { fencing: { leaseMs: 0 } }, { fenceStore: store });
    expect((await insert(subject, 1)).status).toBe(200);
    hangs = true;
    expect((await insert(subject, 2)).status).toBe(200);
    const silent = await createFaultProxy({ upstream: pair.standby, faults: { both: { blackhole: true } } });
    opened.push(silent);
    const waiting = open([pair.primary, silent], {
      pool: { acquireTimeoutMs: 300 },
      fencing: { discoveryMs: 1_500 },
    });
    const early = await insert(waiting, 3);
    expect(early).toMatchObject({ status: 503, code: "db_unavailable" });
    expect(early.ms).toBeLessThan(5 * 300);
    await eventually(async () => (await insert(waiting, 4)).status === 200);
  });

  it("chooses servers by targetSessionAttrs", async () => {
    const hosts = [pair.standby, pair.primary];
    const expected = {
      any: pair.standby.port,
      "read-write": pair.primary.port,
      "read-only": pair.standby.port,
      primary: pair.primary.port,
      standby: pair.standby.port,
      "prefer-standby": pair.standby.port,
    } as const;
    for (const [targetSessionAttrs, port] of Object.entries(expected) as [keyof typeof expected, number][]) {
      const subject = open(hosts, { targetSessionAttrs });
      await eventually(() => subject.database.stats().hosts.every(({ state }) => state === "up"));
      const { rows } = await subject.database.query<{ port: number }>(
        "select current_setting('port')::int as port",
      );
      expect([targetSessionAttrs, rows[0]?.port]).toEqual([targetSessionAttrs, port]);
    }
    await pair.standby.stop();
    const lonely = open(hosts, { targetSessionAttrs: "prefer-standby" });
    expect((await timed(() => lonely.database.query("select 1"))).status).toBe(200);
    const none = open(hosts, { targetSessionAttrs: "standby" });
    expect((await timed(() => none.database.query("select 1"))).code).toBe("db_unavailable");
    await eventually(() => none.database.readiness().reason === "role");
  });
});
