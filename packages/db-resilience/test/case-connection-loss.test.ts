import { eventually, type PostgresServer, startPostgres } from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { FaultProxy } from "../src/testing/index.ts";
import {
  expectAtRest,
  openDatabase,
  pooledBackends,
  proxyOf,
  refusedAtOnce,
  running,
  type Subject,
  timed,
} from "./support.ts";

let postgres: PostgresServer;
let proxy: FaultProxy;
let subject: Subject;

beforeAll(async () => {
  postgres = await startPostgres();
  proxy = await proxyOf(postgres);
  await postgres.query("create table t (n int primary key)");
});
afterEach(async () => {
  proxy.heal();
  await subject.database.close({ deadlineMs: 100 });
  await postgres.query("truncate t");
});
afterAll(async () => {
  await proxy.close();
  await postgres.close();
});

const select = () => subject.database.query("select 1");
const ping = () => timed(select);

/** Opens all connections of the pool and gives them back. */
async function fill(count = 15): Promise<void> {
  const outcomes = await Promise.all(
    Array.from({ length: count }, () => timed(() => subject.database.query("select pg_sleep(0.1)"))),
  );
  expect(outcomes.every(({ status }) => status === 200)).toBe(true);
}

describe("connection loss", () => {
  it("CL-01 stopped server: unready within 5 s, refusals at once, ready again by itself", async () => {
    subject = openDatabase([postgres]);
    await fill();
    await postgres.stop();
    const stopped = performance.now();
    const during = await Promise.all(Array.from({ length: 20 }, ping));
    for (const outcome of during) {
      expect(outcome).toMatchObject({ status: 503, code: "db_unavailable" });
      expect(outcome.ms).toBeLessThan(3_500);
    }
    await eventually(() => subject.database.readiness().state === "unavailable");
    expect(performance.now() - stopped).toBeLessThan(5_000);
    expect(subject.database.readiness().reason).toBe("connection");
    for (let i = 0; i < 50; i++)
      expect(await refusedAtOnce(select)).toMatchObject({ status: 503, code: "db_unavailable" });
    await postgres.restart();
    await eventually(() => subject.database.readiness().state === "ready", { timeoutMs: 10_000 });
    expect(await ping()).toMatchObject({ status: 200 });
    expect(
      subject.events
        .filter(({ type }) => type === "db_state")
        .map((event) => "state" in event && event.state),
    ).toEqual(["up", "down", "up"]);
    await expectAtRest(subject, postgres);
  });

  it("CL-01 started before its server: unready with a reason, then ready by itself", async () => {
    await postgres.stop();
    subject = openDatabase([postgres]);
    expect(subject.database.readiness().state).toBe("starting");
    expect(await ping()).toMatchObject({ status: 503, code: "db_unavailable" });
    expect(subject.database.readiness()).toMatchObject({ state: "unavailable", reason: "connection" });
    await expect(subject.database.untilReady({ timeoutMs: 50 })).rejects.toMatchObject({
      code: "db_unavailable",
    });
    await postgres.restart();
    await subject.database.untilReady();
    expect(Math.abs(Date.now() - subject.database.readiness().since)).toBeLessThan(5_000);
    expect(await ping()).toMatchObject({ status: 200 });
  });

  it("CL-02 blackhole both ways, idle sockets too: bounded errors, then every slot usable", async () => {
    subject = openDatabase([proxy], {
      pool: {
        acquireTimeoutMs: 1_000,
        connectTimeoutMs: 500,
        validationTimeoutMs: 300,
        size: 5,
        overflow: 0,
      },
      timeouts: { statementMs: 1_000, statementGraceMs: 100 },
      monitor: { intervalMs: 300 },
    });
    await fill(5);
    proxy.set({ both: { blackhole: true } });
    const during = await Promise.all(Array.from({ length: 10 }, ping));
    for (const outcome of during) {
      expect(outcome.status).toBe(503);
      expect(outcome.ms).toBeLessThan(1_000 + 1_000 + 1_000);
    }
    await eventually(() => subject.database.readiness().state === "unavailable");
    expect(await refusedAtOnce(select)).toMatchObject({ status: 503, code: "db_unavailable" });
    proxy.heal();
    await eventually(() => subject.database.readiness().state === "ready", { timeoutMs: 5_000 });
    const after = await Promise.all(
      Array.from({ length: 5 }, () => timed(() => subject.database.query("select pg_sleep(0.2)"))),
    );
    expect(after.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    await expectAtRest(subject, postgres, 5);
  });

  it("CL-02 5 of 5 connections blackholed, healed: 5 of 5 queries succeed without an error in between", async () => {
    subject = openDatabase([proxy], {
      pool: { size: 5, overflow: 0, validationTimeoutMs: 300, validateIdleAfterMs: 0 },
    });
    await fill(5);
    proxy.leaveHalfOpen("client");
    const after = await Promise.all(Array.from({ length: 5 }, ping));
    expect(after.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  });

  it("CL-03 backends terminated: idle unnoticed, reads repeated once, writes only with leave, refilled", async () => {
    subject = openDatabase([postgres], { pool: { min: 3 } });
    const { database } = subject;
    const terminate = () =>
      postgres.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'app%'",
      );
    await fill();
    await terminate();
    await eventually(async () => (await pooledBackends(postgres)).length >= 3, { timeoutMs: 10_000 });
    expect(await ping()).toMatchObject({ status: 200 });

    // Statements wait for a lock of this session, so that they end when the test says so.
    const gate = await postgres.client();
    await gate.query("select pg_advisory_lock(7)");
    const slowRead = "select pg_advisory_xact_lock_shared(7)";
    const read = timed(() =>
      database.withConnection((session) => session.query(slowRead), { idempotent: true }),
    );
    await running(postgres, slowRead);
    await terminate();
    await gate.query("select pg_advisory_unlock(7)");
    expect(await read).toMatchObject({ status: 200 });

    await gate.query("select pg_advisory_lock(7)");
    const slowWrite = "insert into t select 1 from pg_advisory_xact_lock_shared(7)";
    const write = timed(() => database.transaction((tx) => tx.query(slowWrite)));
    await running(postgres, slowWrite);
    await terminate();
    expect(await write).toMatchObject({ status: 503, code: "db_unavailable" });
    expect(await postgres.query("select * from t")).toEqual([]);

    const keyed = timed(() => database.transaction((tx) => tx.query(slowWrite), { idempotencyKey: "k" }));
    await running(postgres, slowWrite);
    await terminate();
    await gate.query("select pg_advisory_unlock(7)");
    expect(await keyed).toMatchObject({ status: 200 });
    expect(await postgres.query("select * from t")).toEqual([{ n: 1 }]);
    await gate.end();

    const inTransaction = timed(() =>
      database.transaction(async (tx) => {
        await tx.query("insert into t values (2)");
        await terminate();
        await tx.query("insert into t values (3)");
      }),
    );
    expect(await inTransaction).toMatchObject({ status: 503, code: "db_unavailable" });
    await expectAtRest(subject, postgres);
  });

  it("CL-03 an idle read of Kysely is repeated on another connection", async () => {
    const typed = openDatabase<{ t: { n: number } }>([postgres], { pool: { size: 1, overflow: 0 } });
    subject = typed as Subject;
    await postgres.query("insert into t values (7)");
    await postgres.query("begin");
    const lock = await postgres.client();
    await lock.query("begin");
    await lock.query("lock table t in access exclusive mode");
    const read = typed.database.kysely.selectFrom("t").select("n").execute();
    await running(postgres, 'select "n"%');
    await postgres.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'app'",
    );
    await lock.query("rollback");
    await lock.end();
    expect(await read).toEqual([{ n: 7 }]);
  });

  it("CL-04 latency: 200 ms is served, more than the statement timeout is 503 in time, excess is refused at once", async () => {
    subject = openDatabase([proxy], {
      pool: { size: 3, overflow: 0, maxWaiting: 5, acquireTimeoutMs: 1_000, validateIdleAfterMs: 10_000 },
      timeouts: { statementMs: 900, statementGraceMs: 100 },
    });
    await fill(3);
    proxy.set({ down: { latencyMs: 200 } });
    expect(await ping()).toMatchObject({ status: 200 });
    proxy.set({ down: { latencyMs: 10_000 } });
    // Three have a connection, five may wait.
    const admitted = Promise.all(Array.from({ length: 8 }, ping));
    const excess = await Promise.all(Array.from({ length: 12 }, () => refusedAtOnce(select)));
    expect(excess.map(({ code }) => code)).toEqual(excess.map(() => "pool_exhausted"));
    const outcomes = await admitted;
    expect(outcomes.every(({ status }) => status === 503)).toBe(true);
    const inTime = outcomes.filter(({ code }) => code === "db_timeout");
    expect(inTime.length).toBe(3);
    for (const { ms } of inTime) expect(Math.abs(ms - 1_000)).toBeLessThan(500);
    for (const { ms } of outcomes) expect(ms).toBeLessThan(3_000);
    proxy.heal();
    await eventually(async () => (await ping()).status === 200, { timeoutMs: 5_000 });
    await expectAtRest(subject, postgres, 3);
  });

  it("CL-04 2 s of latency: served within the default statement timeout, 503 at a shorter one", async () => {
    const served = async (statementMs: number, status: number) => {
      await using line = await proxyOf(postgres);
      const { database } = openDatabase([line], {
        timeouts: { statementMs },
        pool: { validateIdleAfterMs: 10_000 },
      });
      const three = (text: string) =>
        Promise.all(Array.from({ length: 3 }, () => timed(() => database.query(text))));
      expect((await three("select pg_sleep(0.1)")).map((outcome) => outcome.status)).toEqual([200, 200, 200]);
      line.set({ down: { latencyMs: 2_000 } });
      for (const outcome of await three("select 1")) {
        expect(outcome.status).toBe(status);
        // The answer after the latency, or the deadline: the server's, and the client's grace of 250 ms.
        const expectedMs = status === 200 ? 2_000 : statementMs + 250;
        expect(Math.abs(outcome.ms - expectedMs)).toBeLessThan(0.5 * expectedMs);
        if (status === 503) expect(outcome.code).toBe("db_timeout");
      }
      line.heal();
      await database.close({ deadlineMs: 100 });
    };
    await Promise.all([served(5_000, 200), served(1_500, 503)]);
  });

  it("CL-04 latency above the deadlines of connecting and validating: open connections serve within the statement timeout", async () => {
    subject = openDatabase([proxy], {
      pool: {
        connectTimeoutMs: 400,
        validationTimeoutMs: 200,
        validateIdleAfterMs: 10_000,
        acquireTimeoutMs: 500,
      },
      timeouts: { statementMs: 1_500, statementGraceMs: 100 },
      monitor: { intervalMs: 100 },
    });
    await fill(3);
    proxy.set({ down: { latencyMs: 600 } });
    const outcomes = await Promise.all(Array.from({ length: 3 }, ping));
    expect(outcomes.map(({ status }) => status)).toEqual([200, 200, 200]);
    const later = await Promise.all(Array.from({ length: 10 }, ping));
    for (const { status, ms } of later) {
      expect([200, 503]).toContain(status);
      expect(ms).toBeLessThan(500 + 1_600 + 500);
    }
    proxy.heal();
    await eventually(async () => (await ping()).status === 200, { timeoutMs: 5_000 });
  });

  it("CL-04 a line of 1 KB/s serves what fits and stops what does not", async () => {
    subject = openDatabase([proxy], { timeouts: { statementMs: 900, statementGraceMs: 100 } });
    await fill(2);
    proxy.set({ down: { bytesPerSecond: 1_024 } });
    expect(await ping()).toMatchObject({ status: 200 });
    expect(await timed(() => subject.database.query("select repeat('x', 100000)"))).toMatchObject({
      status: 503,
      code: "db_timeout",
    });
  });
});
