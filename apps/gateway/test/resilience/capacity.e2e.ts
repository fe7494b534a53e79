import { type Answer, connectionsOf, type Stage, startLoad } from "@gatewright/resilience";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { at, long, openCaseStage, outcomeOf, patient, times, underWatch, waitingForLock } from "./case.ts";

/** Long enough for all of twenty to be there before the first of them is refused. */
const acquireMs = long ? times.acquireMs : 2_500;
/** The default size of a pool; `min` fills it at once. */
const poolSize = 5;

let stage: Stage;
beforeAll(async () => {
  stage = await openCaseStage({
    settings: { log_statement: "all", log_line_prefix: "%a|" },
    // Those who hold the slots wait until all the others were refused, however long a busy machine takes.
    database: { ...patient, pool: { ...patient.pool, min: poolSize, acquireTimeoutMs: acquireMs } },
  });
}, 120_000);
afterAll(() => stage.close());

const get = (index: number) => at(stage, index).rest("/gateways", { timeoutMs: 60_000 });
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const database = async () => (await at(stage, 0).rest("/admin/database")).body;
const pids = async () =>
  (
    await stage.primary.query<{ pid: number }>(
      "select pid from pg_stat_activity where application_name ~ '^replica[0-9]$'",
    )
  ).map(({ pid }) => pid);

const maxPooled = 15;
/**
 * So many requests to one replica at once, while a second session holds the table as long as `held` takes. The first of
 * them have every slot before the others come: a busy machine may need several attempts for that.
 */
async function crowd(
  count: number,
  held: (others: readonly Answer[]) => Promise<unknown>,
): Promise<Answer[]> {
  const lock = await stage.primary.client();
  await lock.query("begin; lock table upstreams in access exclusive mode");
  let filled = false;
  const holders = Array.from({ length: maxPooled }, async () => {
    let answer = await get(0);
    while (!filled && answer.status === 503) answer = await get(0);
    return answer;
  });
  const come: Answer[] = [];
  let others: Promise<unknown>[] = [];
  try {
    await waitingForLock(stage, maxPooled, 30_000);
    filled = true;
    others = Array.from({ length: count - maxPooled }, async () => void come.push(await get(0)));
    await held(come);
  } finally {
    filled = true;
    await lock.end();
  }
  await Promise.all(others);
  return [...(await Promise.all(holders)), ...come];
}

describe("through two gateways: more requests than connections", () => {
  it("CP-01 black box: 20 and 200 requests on 15 slots: served, or refused when their time is over", async () => {
    await underWatch(stage, async () => {
      const few = await crowd(20, () => eventually(async () => (await database()).waiting >= 20 - maxPooled));
      expect(few.map(({ status }) => status)).toEqual(Array(20).fill(200));
      const many = await crowd(200, (others) =>
        eventually(() => others.length === 200 - maxPooled, { timeoutMs: 15_000 }),
      );
      const served = many.filter(({ status }) => status === 200);
      const refused = many.filter(({ status }) => status !== 200);
      expect([served.length, refused.length]).toEqual([maxPooled, 200 - maxPooled]);
      for (const answer of refused) {
        expect(outcomeOf(answer)).toEqual([503, "pool_exhausted"]);
        expect(answer.ms).toBeGreaterThan(acquireMs - 100);
        expect(answer.ownMs).toBeLessThan(acquireMs + 100 + (long ? 400 : 2_500));
      }
      expect((await database()).waiting).toBe(0);
      expect(stage.primary.logs()).not.toMatch(/too many clients|remaining connection slots/);
      expect(at(stage, 0).gateway.logs()).toMatch(/"event":"db_pool_exhausted"/);
    });
  }, 60_000);

  it("CP-02 black box: restart behind a full pool: the first request sees nothing of it, and none is validated twice", async () => {
    await underWatch(stage, async () => {
      let before: number[] = [];
      await crowd(maxPooled, async () => {
        before = await pids();
      });
      expect(before.length).toBeGreaterThanOrEqual(maxPooled);
      await stage.primary.restart();
      if (long) await pause(5_000);
      await stage.untilReady();
      for (let index = 0; index < 2; index++) expect(outcomeOf(await get(index))).toEqual([200, undefined]);
      expect((await pids()).filter((pid) => before.includes(pid))).toEqual([]);
      // A connection that was used a moment ago is taken as alive. What the gateway does by itself may come between.
      let mark = 0;
      await eventually(async () => {
        const text = `mark ${++mark} of the test`;
        await get(0);
        await stage.primary.query(`select '${text}'`);
        await get(0);
        const since = stage.primary.logs().split(text).at(-1) ?? "";
        expect(since).toMatch(/^replica1\|LOG: .*from "upstreams"/m);
        expect(since).not.toMatch(/^replica1\|LOG: {2}(statement|execute [^:]+): select 1$/m);
      });
    });
  }, 60_000);

  it("CP-03 black box: an outage under 50 requests a second: few attempts to connect, no error soon after, as many connections as before", async () => {
    await underWatch(stage, async () => {
      const connections = () =>
        Promise.all(stage.replicas.map((replica) => connectionsOf(stage.primary, replica)));
      // At rest a pool holds its size: what the crowds of before needed beyond it is closed soon.
      const baseline = await eventually(
        async () => {
          const now = await connections();
          return now.every(({ pooled }) => pooled === poolSize) && now;
        },
        { timeoutMs: 15_000, intervalMs: 100 },
      );
      const load = startLoad(50, get);
      await eventually(() => load.answers.filter(({ answer }) => answer?.status === 200).length > 40, {
        timeoutMs: 20_000,
      });
      await stage.primary.stop();
      await Promise.all(
        stage.replicas.map((replica) =>
          eventually(async () => (await replica.rest("/health/ready")).status === 503, { timeoutMs: 20_000 }),
        ),
      );
      const attempts = () => stage.replicas.map(({ proxies }) => proxies[0]?.stats().connections.total ?? 0);
      const mostPerSecond = async () => {
        const [before, since] = [attempts(), performance.now()];
        await pause(long ? 30_000 : 3_000);
        const seconds = (performance.now() - since) / 1_000;
        return Math.max(...attempts().map((total, index) => (total - (before[index] ?? 0)) / seconds));
      };
      // On a busy machine attempts that were begun before are counted late: then those of the next seconds are.
      await eventually(async () => expect(await mostPerSecond()).toBeLessThanOrEqual(3), {
        timeoutMs: long ? 0 : 5_000,
      });
      await stage.primary.restart();
      const startedMs = performance.now();
      await stage.untilReady(10_000);
      await pause(2_000);
      const answers = await load.stop();
      const failed = answers.filter(({ answer }) => answer?.status !== 200);
      expect(Math.max(...failed.map(({ atMs }) => atMs)) - startedMs).toBeLessThan(10_000);
      const last = answers.filter(({ atMs }) => atMs > performance.now() - 1_000);
      expect(last.filter(({ answer }) => answer?.status !== 200)).toEqual([]);
      await eventually(
        async () => {
          const now = await connections();
          return now.every(({ pooled }, index) => Math.abs(pooled - (baseline[index]?.pooled ?? 0)) <= 1);
        },
        { timeoutMs: 10_000, intervalMs: 100 },
      );
    });
  }, 120_000);
});
