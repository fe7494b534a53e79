import { eventually, type PostgresServer, startPostgres } from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createFaultProxy } from "../src/testing/index.ts";
import {
  expectAtRest,
  load,
  openDatabase,
  pooledBackends,
  refusedAtOnce,
  type Subject,
  timed,
} from "./support.ts";

let postgres: PostgresServer;
let subject: Subject;

beforeAll(async () => {
  postgres = await startPostgres({ settings: { max_connections: 45 } });
});
afterEach(() => subject.database.close({ deadlineMs: 100 }));
afterAll(() => postgres.close());

const ping = () => timed(() => subject.database.query("select 1"));

describe("capacity", () => {
  it("CP-01 20 and 200 callers on 15 slots: first come first served, late ones refused in time", async () => {
    const crowd = async (callers: number) => {
      const one = openDatabase([postgres], { pool: { acquireTimeoutMs: 2_250 } });
      expect(await timed(() => one.database.query("select 1"))).toMatchObject({ status: 200 });
      const order: number[] = [];
      const outcomes = await Promise.all(
        Array.from({ length: callers }, (_, index) =>
          timed(() =>
            one.database.withConnection(async (session) => {
              order.push(index);
              await session.query("select pg_sleep(1.5)");
            }),
          ),
        ),
      );
      const served = outcomes.filter(({ status }) => status === 200);
      const refused = outcomes.filter(({ status }) => status !== 200);
      expect(served.length).toBe(Math.min(callers, 30));
      for (const { code, ms } of refused) {
        expect(code).toBe("pool_exhausted");
        expect(ms).toBeGreaterThan(2_200);
        // Before the next slots are free: 100 ms late at most, five times that on a busy machine.
        expect(ms).toBeLessThan(2_250 + 5 * 100);
      }
      // The first fifteen may overtake each other while their connections are being opened.
      expect(order.slice(15)).toEqual([...order.slice(15)].sort((a, b) => a - b));
      expect(Math.max(...order.slice(0, 15))).toBeLessThan(
        Math.min(...order.slice(15), Number.POSITIVE_INFINITY),
      );
      expect(one.database.stats().waiting).toBe(0);
      expect(one.events.some(({ type }) => type === "db_pool_exhausted")).toBe(callers === 200);
      return one;
    };
    const [few, many] = await Promise.all([crowd(20), crowd(200)]);
    await few.database.close({ deadlineMs: 100 });
    subject = many;
    expect(postgres.logs()).not.toMatch(/too many clients|remaining connection slots/);
    await expectAtRest(subject, postgres);
  });

  it("CP-01 a full queue refuses at once", async () => {
    subject = openDatabase([postgres], {
      pool: { size: 1, overflow: 0, maxWaiting: 2, acquireTimeoutMs: 5_000 },
    });
    await ping();
    const slow = Array.from({ length: 3 }, () => timed(() => subject.database.query("select pg_sleep(0.3)")));
    const refused = await refusedAtOnce(() => subject.database.query("select 1"));
    expect(refused).toMatchObject({ code: "pool_exhausted", error: { details: { reason: "queue_full" } } });
    expect((await Promise.all(slow)).map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it("CP-02 restart behind a full pool: the first request sees nothing of it", async () => {
    subject = openDatabase([postgres]);
    await Promise.all(Array.from({ length: 15 }, () => subject.database.query("select pg_sleep(0.1)")));
    const before = await pooledBackends(postgres);
    expect(before.length).toBe(15);
    await postgres.restart();
    await eventually(() => subject.database.readiness().state === "ready");
    expect(await ping()).toMatchObject({ status: 200 });
    const after = await pooledBackends(postgres);
    expect(after.filter((pid) => before.includes(pid))).toEqual([]);
  });

  it("CP-02 connections used a moment ago are not validated, older ones are", async () => {
    subject = openDatabase([postgres], { pool: { size: 1, overflow: 0, validateIdleAfterMs: 1_500 } });
    await postgres.query("create extension if not exists pg_stat_statements").catch(() => {});
    const statements = async () => {
      const [row] = await postgres.query<{ query: string }>(
        "select query from pg_stat_activity where application_name = 'app'",
      );
      return row?.query;
    };
    await subject.database.query("select 'marker'");
    const held = await subject.database.withConnection(async () => statements());
    expect(held).toBe("select 'marker'");
    await new Promise((resolve) => setTimeout(resolve, 1_600)); // The age of the connection is what is tested.
    const validated = await subject.database.withConnection(async () => statements());
    expect(validated).toBe("select 1");
  });

  it("CP-03 outage under load: few attempts to connect while down, no error soon after, back to baseline", async () => {
    await using proxy = await createFaultProxy({ upstream: { host: postgres.host, port: postgres.port } });
    subject = openDatabase([proxy], { pool: { min: 5 } });
    await eventually(() => subject.database.stats().hosts[0]?.idle === 5);
    const traffic = load(50, () => subject.database.query("select 1"));
    await eventually(() => traffic.outcomes.length > 20);
    await postgres.stop();
    await eventually(() => subject.database.readiness().state === "unavailable");
    const attempts = proxy.stats().connections.total;
    const downSince = performance.now();
    await eventually(() => performance.now() - downSince > 3_000, { timeoutMs: 6_000 });
    const perSecond = (proxy.stats().connections.total - attempts) / ((performance.now() - downSince) / 1000);
    expect(perSecond).toBeLessThanOrEqual(3);
    await postgres.restart();
    await eventually(() => subject.database.readiness().state === "ready", { timeoutMs: 10_000 });
    const from = traffic.outcomes.length;
    await eventually(() => traffic.outcomes.length > from + 50);
    const outcomes = await traffic.stop();
    expect(outcomes.slice(from + 5).filter(({ status }) => status !== 200)).toEqual([]);
    await eventually(async () => Math.abs((await pooledBackends(postgres)).length - 5) <= 1, {
      timeoutMs: 5_000,
    });
    await expectAtRest(subject, postgres);
  });

  it("opens overflow connections under load only, and closes them soon after", async () => {
    subject = openDatabase([postgres], { pool: { size: 2, overflow: 4, overflowIdleMs: 100 } });
    await Promise.all(Array.from({ length: 6 }, () => subject.database.query("select pg_sleep(0.2)")));
    expect((await pooledBackends(postgres)).length).toBe(6);
    await eventually(async () => (await pooledBackends(postgres)).length === 2);
  });

  it("replaces connections at their age and closes idle ones down to min", async () => {
    subject = openDatabase([postgres], {
      pool: { size: 4, min: 1, maxLifetimeMs: 700, lifetimeJitterRatio: 0.2, idleTimeoutMs: 300 },
    });
    await Promise.all(Array.from({ length: 4 }, () => subject.database.query("select pg_sleep(0.1)")));
    const before = await pooledBackends(postgres);
    await eventually(async () => (await pooledBackends(postgres)).length === 1);
    await eventually(async () => !(await pooledBackends(postgres)).some((pid) => before.includes(pid)));
    expect(await ping()).toMatchObject({ status: 200 });
  });

  it("replaces the whole generation when one connection is lost: idle ones at once, lent ones when they come back", async () => {
    subject = openDatabase([postgres], { pool: { size: 3, min: 3 } });
    await eventually(() => subject.database.stats().hosts[0]?.idle === 3);
    const before = await pooledBackends(postgres);
    await subject.database.withConnection(async (session) => {
      const [victim] = before.filter((pid) => pid !== session.backendPid);
      await postgres.query("select pg_terminate_backend($1)", [victim]);
      await eventually(async () => {
        const kept = (await pooledBackends(postgres)).filter((pid) => before.includes(pid));
        return kept.length === 1 && kept[0] === session.backendPid;
      });
      expect((await session.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    });
    await eventually(async () => {
      const now = await pooledBackends(postgres);
      return now.length === 3 && now.every((pid) => !before.includes(pid));
    });
    expect(subject.events.filter(({ type }) => type === "db_generation")).toHaveLength(1);
  });

  it("CL-03 one session ended under a full pool: as many connections as were kept are there again", async () => {
    subject = openDatabase([postgres], { pool: { size: 5, overflow: 0, min: 1 } });
    await Promise.all(Array.from({ length: 5 }, () => subject.database.query("select pg_sleep(0.1)")));
    const before = await pooledBackends(postgres);
    expect(before.length).toBe(5);
    await postgres.query("select pg_terminate_backend($1)", [before[2]]);
    await eventually(
      async () => {
        const now = await pooledBackends(postgres);
        return now.length === 5 && now.every((pid) => !before.includes(pid));
      },
      { timeoutMs: 10_000 },
    );
    const outcomes = await Promise.all(Array.from({ length: 5 }, ping));
    expect(outcomes.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  });

  it("has one attempt to connect under way while the host is down, however many call", async () => {
    await using proxy = await createFaultProxy({ upstream: { host: postgres.host, port: postgres.port } });
    subject = openDatabase([proxy], { pool: { min: 5, connectTimeoutMs: 300 }, monitor: { minRetryMs: 50 } });
    await eventually(() => subject.database.stats().hosts[0]?.idle === 5);
    proxy.set({ connect: "hang" });
    proxy.resetConnections();
    await eventually(() => subject.database.readiness().state === "unavailable");
    await eventually(() => proxy.stats().connections.open <= 1);
    const before = proxy.stats().connections.total;
    let most = 0;
    await eventually(
      async () => {
        await Promise.all(Array.from({ length: 10 }, ping));
        most = Math.max(most, proxy.stats().connections.open);
        return proxy.stats().connections.total > before + 3;
      },
      { timeoutMs: 10_000 },
    );
    expect(most).toBe(1);
  });

  it("asks idle connections for a sign of life", async () => {
    await using proxy = await createFaultProxy({ upstream: { host: postgres.host, port: postgres.port } });
    subject = openDatabase([proxy], { pool: { keepAliveMs: 200, validationTimeoutMs: 200 } });
    await ping();
    const [before] = await pooledBackends(postgres);
    proxy.leaveHalfOpen("client");
    await eventually(() =>
      subject.events.some(
        (event) => event.type === "db_connection_closed" && event.reason === "it did not answer",
      ),
    );
    expect(await ping()).toMatchObject({ status: 200 });
    expect(await pooledBackends(postgres)).not.toContain(before);
  });

  it("reports connections that are held for long, with the stack of the holder", async () => {
    subject = openDatabase([postgres], { pool: { leakDetectionMs: 300 } });
    await subject.database.withConnection(async function keepsItForLong() {
      await eventually(() => subject.events.some(({ type }) => type === "db_leak"));
    });
    const [leak] = subject.events.filter((event) => event.type === "db_leak");
    expect(leak?.heldMs).toBeGreaterThanOrEqual(300);
    expect(leak?.stack).toMatch(/\.ts/);
  });

  it("does not call a server down that has no slot free for the one who asks for its state", async () => {
    await postgres.query("create role limited login connection limit 2");
    subject = openDatabase([postgres], { user: "limited", pool: { min: 1 }, monitor: { intervalMs: 100 } });
    expect(await ping()).toMatchObject({ status: 200 });
    await postgres.query("alter role limited connection limit 1");
    await postgres.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'app-monitor'",
    );
    await eventually(() => /too many connections for role/.test(postgres.logs()));
    await new Promise((resolve) => setTimeout(resolve, 300)); // Some more looks, all of them refused.
    expect(subject.database.readiness().state).toBe("ready");
    expect(await ping()).toMatchObject({ status: 200 });
    expect(subject.events.some((event) => event.type === "db_state" && event.state === "down")).toBe(false);
  });

  it("waits for the server when it has no slot free, without calling it down", async () => {
    const [row] = await postgres.query<{ max: string }>("show superuser_reserved_connections");
    expect(row).toBeDefined();
    const hogs = await Promise.all(Array.from({ length: 42 }, () => postgres.client()));
    subject = openDatabase([postgres], { pool: { acquireTimeoutMs: 2_500, size: 10, min: 1 } });
    await eventually(() => subject.database.readiness().state === "ready");
    const calls = Array.from({ length: 6 }, () =>
      timed(() => subject.database.query("select pg_sleep(0.2)")),
    );
    await Promise.all(hogs.slice(0, 10).map((hog) => hog.end()));
    const outcomes = await Promise.all(calls);
    expect(outcomes.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
    expect(subject.database.readiness().state).toBe("ready");
    await Promise.all(hogs.map((hog) => hog.end().catch(() => {})));
  });
});
