import {
  createFakeClock,
  eventually,
  type PostgresPair,
  type PostgresServer,
  startPostgres,
  startPostgresPair,
} from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ConnectPacing } from "../src/connect-pacing.ts";
import { createFaultProxy } from "../src/testing/index.ts";
import { expectAtRest, openDatabase, pooledBackends, type Subject, timed } from "./support.ts";

let postgres: PostgresServer;
let subject: Subject;
beforeAll(async () => {
  postgres = await startPostgres();
  await postgres.query("create table t (n int primary key)");
  await postgres.query("create role plain login");
});
afterEach(() => subject.database.close({ deadlineMs: 100 }));
afterAll(() => postgres.close());

const conflict = "do $$ begin raise exception 'conflict' using errcode = '40001'; end $$";

describe("the pool", () => {
  it("gives up an attempt to connect at its deadline", async () => {
    await using proxy = await createFaultProxy({ upstream: postgres, faults: { connect: "hang" } });
    const attempts: { durationMs: number; ok: boolean }[] = [];
    subject = openDatabase(
      [proxy],
      { pool: { connectTimeoutMs: 300, min: 1 } },
      { observer: { connected: (attempt) => void attempts.push(attempt) } },
    );
    const outcome = await timed(() => subject.database.query("select 1"));
    expect(outcome).toMatchObject({ status: 503, code: "db_unavailable" });
    expect(outcome.ms).toBeLessThan(5 * 300);
    await eventually(() => proxy.stats().connections.open <= 1);
    for (const { durationMs, ok } of attempts) {
      expect(ok).toBe(false);
      expect(durationMs).toBeLessThan(5 * 300);
    }
  });

  it("gives up a question for a sign of life at its deadline, and the connection with it", async () => {
    await using proxy = await createFaultProxy({ upstream: postgres });
    subject = openDatabase([proxy], {
      pool: { size: 1, overflow: 0, validateIdleAfterMs: 0, validationTimeoutMs: 200 },
      monitor: { intervalMs: 60_000 },
    });
    await subject.database.query("select 1");
    const [before] = await pooledBackends(postgres);
    proxy.leaveHalfOpen("client");
    const outcome = await timed(() => subject.database.query("select 1"));
    expect(outcome.status).toBe(200);
    expect(outcome.ms).toBeGreaterThan(150);
    expect(outcome.ms).toBeLessThan(2_000);
    expect(await pooledBackends(postgres)).not.toContain(before);
  });

  it("destroys a connection whose ROLLBACK failed", async () => {
    subject = openDatabase([postgres], { pool: { size: 1, overflow: 0 } });
    const used = await subject.database.withConnection(async (session) => {
      await session.query("rollback prepared 'nobody knows it'").catch(() => {});
      expect((await timed(() => session.query("select 1"))).code).toBe("db_unavailable");
      return session.backendPid;
    });
    expect(await subject.database.withConnection(async ({ backendPid }) => backendPid)).not.toBe(used);
  });

  it("keeps connection and breaker over every permanent error of a statement", async () => {
    subject = openDatabase([postgres], { pool: { size: 1, overflow: 0 }, user: "plain" });
    const pid = () => subject.database.withConnection(async ({ backendPid }) => backendPid);
    const before = await pid();
    for (const [statement, status, sqlState] of [
      ["select 1 / 0", 422, "22012"],
      ["select 'x'::int", 422, "22P02"],
      ["do $$ begin raise exception 'x' using errcode = '23502'; end $$", 422, "23502"],
      ["do $$ begin raise exception 'x' using errcode = '23505'; end $$", 409, "23505"],
      ["selec", 500, "42601"],
      ["select * from nowhere", 500, "42P01"],
      ["select * from t", 500, "42501"],
    ] as const) {
      const outcome = await timed(() => subject.database.query(statement));
      expect(outcome).toMatchObject({ status, error: { sqlState, retryable: false } });
    }
    expect(await pid()).toBe(before);
    expect(subject.events.filter(({ type }) => type !== "db_state")).toEqual([]);
    expect(subject.database.readiness().state).toBe("ready");
  });

  it("spreads the ages at which connections are replaced", async () => {
    let step = 0;
    const closings: number[] = [];
    const spread = openDatabase(
      [postgres],
      { pool: { size: 4, min: 4, maxLifetimeMs: 2_500, lifetimeJitterRatio: 1 } },
      { random: () => (++step * 0.618_034) % 1 },
    );
    subject = spread;
    await eventually(() => {
      const old = spread.events.filter(
        (event) => event.type === "db_connection_closed" && event.reason === "it has reached its age",
      );
      while (closings.length < old.length) closings.push(performance.now());
      return closings.length >= 4;
    });
    const [first = 0] = closings;
    const last = closings.at(-1) ?? 0;
    expect(last - first).toBeGreaterThan(400);
  });
});

describe("the pauses between attempts to connect", () => {
  it("grow, are jittered and bounded, and let one attempt at a time through", async () => {
    const pauseAfter = async (failures: number, random: number) => {
      const clock = createFakeClock();
      let again = 0;
      const pacing = new ConnectPacing(
        clock as never,
        () => random,
        () => void again++,
      );
      for (let n = 0; n < failures; n++) pacing.failed();
      expect(pacing.allows(0)).toBe(false);
      for (let ms = 0; again === 0; ms++) {
        if (ms > 2_000) throw new Error("it never ends");
        await clock.advance(1);
      }
      expect([pacing.allows(0), pacing.allows(1)]).toEqual([true, false]);
      pacing.succeeded();
      expect(pacing.allows(1)).toBe(true);
      return clock.monotonic();
    };
    expect(await pauseAfter(1, 0)).toBe(350);
    expect(await pauseAfter(1, 1)).toBe(700);
    expect(await pauseAfter(9, 0)).toBe(350);
    expect(await pauseAfter(9, 0.5)).toBe(675);
    expect(await pauseAfter(9, 1)).toBe(1_000);
    subject = openDatabase([postgres]);
  });
});

describe("a signal", () => {
  it("ends every wait, and what is asked for with one that is aborted already", async () => {
    subject = openDatabase([postgres], { pool: { size: 1, overflow: 0 } });
    const { database } = subject;
    await database.untilReady();
    await using proxy = await createFaultProxy({ upstream: postgres, faults: { connect: "hang" } });
    const never = openDatabase([proxy]);
    const slow = "select pg_sleep(20)";
    const uses = {
      query: (signal: AbortSignal) => database.query(slow, [], { signal }),
      withConnection: (signal: AbortSignal) =>
        database.withConnection((session) => session.query(slow), { signal }),
      "a statement": (signal: AbortSignal) =>
        database.withConnection((session) => session.query(slow, [], { signal })),
      read: (signal: AbortSignal) => database.read((session) => session.query(slow), { signal }),
      transaction: (signal: AbortSignal) => database.transaction((tx) => tx.query(slow), { signal }),
      settling: (signal: AbortSignal) =>
        database.transaction((tx) => tx.query(slow), { signal, settle: true }),
      withAdvisoryLock: (signal: AbortSignal) =>
        database.withAdvisoryLock("held", async () => {}, { signal }),
      untilReady: (signal: AbortSignal) => never.database.untilReady({ signal }),
    };
    const holder = await postgres.client();
    await holder.query("select pg_advisory_lock(hashtextextended('held', 0))");
    for (const [name, use] of Object.entries(uses)) {
      const controller = new AbortController();
      const waiting = timed(() => use(controller.signal));
      setTimeout(() => controller.abort(), 100);
      for (const outcome of [await waiting, await timed(() => use(AbortSignal.abort()))]) {
        expect([name, outcome.code]).toEqual([name, "db_aborted"]);
        expect(outcome.ms).toBeLessThan(2_500);
      }
    }
    await holder.end();
    await never.database.close();
    await expectAtRest(subject, postgres, 1);
  });
});

describe("transactions that conflict", () => {
  it("are repeated three times by default, after a delay between nothing and twice the one before", async () => {
    const delays: number[] = [];
    for (const random of [0, 1]) {
      subject = openDatabase([postgres], {}, { random: () => random });
      let attempts = 0;
      const outcome = await timed(() =>
        subject.database.transaction((tx) => {
          attempts++;
          return tx.query(conflict);
        }),
      );
      expect([outcome.code, attempts]).toEqual(["tx_conflict", 4]);
      for (const event of subject.events)
        if (event.type === "db_transaction_retry") delays.push(event.delayMs);
      await subject.database.close();
    }
    expect(delays).toEqual([0, 0, 0, 20, 40, 80]);
  });
});

describe("the first write", () => {
  let pair: PostgresPair;
  beforeAll(async () => {
    pair = await startPostgresPair();
    await pair.primary.query("create table t (n int primary key)");
  });
  afterAll(() => pair.close());

  it("FO-03 waits for the servers that have not answered yet, as long as discovery may take", async () => {
    await using silent = await createFaultProxy({
      upstream: pair.standby,
      faults: { both: { blackhole: true } },
    });
    subject = openDatabase([pair.primary, silent], { fencing: { discoveryMs: 1_500 } });
    await eventually(() => subject.database.stats().hosts[0]?.state === "up");
    const outcome = await timed(() => subject.database.query("insert into t values (1)"));
    expect(outcome.status).toBe(200);
    expect(outcome.ms).toBeGreaterThan(1_200);
    expect(outcome.ms).toBeLessThan(4_500);
    const next = await timed(() => subject.database.query("insert into t values (2)"));
    expect(next.ms).toBeLessThan(1_200);
  });
});
