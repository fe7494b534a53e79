import { connectionsOf, type Stage } from "@gatewright/resilience";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  at,
  long,
  newKey,
  openCaseStage,
  outcomeOf,
  times,
  underWatch,
  waitingForLock,
  write,
} from "./case.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await openCaseStage();
}, 120_000);
afterAll(() => stage.close());

const get = (index: number) => at(stage, index).rest("/gateways");
const many = <T>(count: number, make: (index: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, index) => make(index)));
const notReady = (index: number) => async () => (await at(stage, index).rest("/health/ready")).status === 503;

/** Ends sessions of the replicas. */
const terminate = (which = "true") =>
  stage.primary.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'replica%' and ${which}`,
  );
describe("through two gateways: the database is lost", () => {
  it("CL-01 black box: stopped and started: 503 that names it, at once when known, ready again by itself", async () => {
    await underWatch(stage, async () => {
      await stage.primary.stop();
      const early = await many(8, (index) =>
        index % 2 === 0 ? get(index) : write(stage, at(stage, index >> 1)),
      );
      for (const answer of early) {
        expect(outcomeOf(answer)).toEqual([503, "db_unavailable"]);
        expect(answer.ownMs).toBeLessThan(times.acquireMs + 500 + times.slackMs);
      }
      await many(2, (index) => eventually(notReady(index), { timeoutMs: 5_000 }));
      for (let index = 0; index < 2; index++) {
        const { body } = await at(stage, index).rest("/health/ready");
        expect(body.checks.database).toMatchObject({
          status: "down",
          message: expect.stringMatching(/database/),
        });
      }
      for (let index = 0; index < 20; index++) {
        const answer = await get(index);
        expect(outcomeOf(answer)).toEqual([503, "db_unavailable"]);
        expect(answer.ownMs).toBeLessThan(times.openMs);
      }
      await stage.primary.restart();
      await stage.untilReady(10_000);
      for (let index = 0; index < 2; index++) expect((await get(index)).status).toBe(200);
    });
  }, 60_000);

  it("CL-02 black box: blackhole both ways, idle connections too: no request outlasts its time, then every slot is usable", async () => {
    await underWatch(stage, async () => {
      stage.fault({ both: { blackhole: true } });
      const during = await many(12, (index) =>
        index % 3 === 0 ? write(stage, at(stage, index)) : get(index),
      );
      for (const answer of during) {
        expect(answer.status).toBe(503);
        expect(answer.ownMs).toBeLessThan(times.acquireMs + times.statementMs + 1_000 + times.slackMs);
      }
      await many(2, (index) => eventually(notReady(index), { timeoutMs: 10_000 }));
      stage.heal();
      await stage.untilReady(5_000 + times.slackMs);
      // A busy machine may need more than one attempt to open all of them within a request's time.
      await eventually(
        async () => {
          const lock = await stage.primary.client();
          await lock.query("begin; lock table upstreams in access exclusive mode");
          const filling = many(30, get);
          const full = await waitingForLock(stage, 30, times.statementMs).then(
            () => true,
            () => false,
          );
          await lock.query("rollback");
          await lock.end();
          const served = (await filling).filter(({ status }) => status === 200).length;
          return full && served === 30;
        },
        { timeoutMs: 30_000 },
      );
    });
  }, 60_000);

  it("CL-03 black box: sessions terminated: idle unnoticed, a read repeated once, a write only under its key", async () => {
    await underWatch(stage, async () => {
      await many(10, get);
      await terminate();
      await many(2, (index) =>
        eventually(async () => (await connectionsOf(stage.primary, at(stage, index))).pooled >= 1, {
          timeoutMs: 2_000 + times.slackMs,
        }),
      );
      for (let index = 0; index < 2; index++) expect((await get(index)).status).toBe(200);

      const lock = await stage.primary.client();
      const hold = (table: string) => lock.query(`begin; lock table ${table} in access exclusive mode`);
      await hold("upstreams");
      const read = get(0);
      await waitingForLock(stage);
      await terminate("wait_event_type = 'Lock'");
      await waitingForLock(stage);
      await lock.query("rollback");
      expect((await read).status).toBe(200);

      await hold("servers");
      const plain = write(stage, at(stage, 0));
      await waitingForLock(stage);
      await terminate("wait_event_type = 'Lock'");
      expect(outcomeOf(await plain)).toEqual([503, "db_unavailable"]);
      const keyed = write(stage, at(stage, 1), { headers: newKey() });
      await waitingForLock(stage);
      await terminate("wait_event_type = 'Lock'");
      await waitingForLock(stage);
      await lock.query("rollback");
      expect((await keyed).status).toBe(201);

      // In a transaction, between two statements: the answers are on a slow line.
      stage.fault({ down: { latencyMs: 150 } });
      const between = write(stage, at(stage, 0), { name: "between" });
      // The gateway's own transactions are left alone.
      const its = `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'replica%'
        and state = 'idle in transaction' and query ~ 'insert into "servers"'`;
      await eventually(async () => (await lock.query(its)).rows.length > 0, { intervalMs: 5 });
      await lock.end();
      expect(outcomeOf(await between)).toEqual([503, "db_unavailable"]);
      stage.heal();
      expect(await stage.primary.query("select 1 from servers where name = 'between'")).toEqual([]);
    });
  }, 60_000);
});

describe("through two gateways: the line to the database is slow", () => {
  let slow: Stage;
  beforeAll(async () => {
    slow = await openCaseStage({
      database: {
        pool: { size: 3, overflow: 0, maxWaiting: 5, validateIdleAfterMs: 10_000 },
        // With short deadlines a look at the server would call it down before a statement's time is over.
        ...(long ? {} : { checkIntervalMs: 60_000 }),
      },
    });
  }, 120_000);
  afterAll(() => slow.close());

  it("CL-04 black box: +200 ms is served, more in time or not at all, excess is refused at once", async () => {
    await underWatch(slow, async () => {
      const [first] = slow.replicas;
      const read = () => at(slow, 0).rest("/gateways");
      const warm = async () => {
        slow.heal();
        await slow.untilReady();
        await many(3, read);
      };
      await warm();
      slow.fault({ both: { latencyMs: 100 } });
      expect((await read()).status).toBe(200);

      await warm();
      slow.fault({ both: { latencyMs: 1_000 } });
      const late = await read();
      expect([200, 503]).toContain(late.status);
      expect(late.ownMs).toBeLessThan(times.acquireMs + times.statementMs + 1_000 + times.slackMs);

      await warm();
      slow.fault({ down: { latencyMs: 10_000 } });
      const answers = await many(20, read);
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
      const timedOut = answers.filter(({ body }) => body.error.code === "db_timeout");
      expect(timedOut.length).toBeGreaterThanOrEqual(1);
      for (const { ms, ownMs } of timedOut) {
        expect(ms).toBeGreaterThan(0.9 * times.statementMs);
        expect(ownMs).toBeLessThan(1.1 * times.statementMs + times.slackMs);
      }
      const refused = answers.filter(({ body }) => body.error.details?.reason === "queue_full");
      expect(refused.length).toBeGreaterThanOrEqual(11);
      const soon = refused.filter(({ ownMs }) => ownMs < times.openMs + (long ? 200 : 500));
      expect(soon.length).toBe(refused.length);
      // None of the requests; the gateway's own look for changes may be waiting.
      await eventually(async () => (await first?.rest("/admin/database"))?.body.waiting <= 1);

      await warm();
      slow.fault({ down: { bytesPerSecond: 1_024 } });
      const thin = await read();
      expect([200, 503]).toContain(thin.status);
      expect(thin.ownMs).toBeLessThan(times.acquireMs + times.statementMs + 1_000 + times.slackMs);
      await warm();
      expect((await read()).status).toBe(200);
    });
  }, 90_000);
});
