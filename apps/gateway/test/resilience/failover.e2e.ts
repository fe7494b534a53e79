import { connectionsOf, type Stage, startLoad } from "@gatewright/resilience";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  at,
  long,
  namesIn,
  newKey,
  noteFigure,
  openCaseStage,
  outcomeOf,
  patient,
  times,
  underWatch,
  write,
} from "./case.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("through two gateways: a primary with a standby, a fence in Redis", () => {
  let stage: Stage;
  let failedOver = false;
  beforeAll(async () => {
    stage = await openCaseStage({ pair: "synchronous", redis: true, database: patient });
  }, 120_000);
  afterAll(() => stage.close());

  const heir = () => {
    if (stage.standby === undefined) throw new Error("there is no standby");
    return stage.standby;
  };
  const metric = async (index: number, name: string) => {
    const { text } = await at(stage, index).rest("/metrics");
    return Number(new RegExp(`^${name} (\\d+)`, "m").exec(text)?.[1]);
  };
  async function failOver(): Promise<number> {
    await stage.primary.kill();
    await pause(300);
    await heir().promote();
    failedOver = true;
    return performance.now();
  }

  it("FO-01 black box: the standby takes over: writes resume by themselves, every acknowledged one is there, counted once", async () => {
    await underWatch(
      stage,
      async () => {
        const acknowledged: { readonly name: string; readonly atMs: number }[] = [];
        const load = startLoad(long ? 20 : 10, async (index) => {
          const name = `fo1-${index}`;
          const headers = index % 4 < 2 ? newKey() : {};
          const answer = await write(stage, at(stage, index), { name, headers });
          if (answer.status === 201) acknowledged.push({ name, atMs: performance.now() });
          else expect(outcomeOf(answer)[0]).toBe(503);
          return answer;
        });
        await eventually(() => acknowledged.length > 8, { timeoutMs: 20_000 });
        const promotedMs = await failOver();
        const first = await eventually(() => acknowledged.find(({ atMs }) => atMs > promotedMs) ?? false, {
          timeoutMs: 10_000,
        });
        const resumedMs = first.atMs - promotedMs;
        noteFigure("writes resumed after ms", resumedMs);
        expect(resumedMs).toBeLessThan(long ? 3_000 : 10_000);
        const before = acknowledged.length;
        await eventually(() => acknowledged.length > before + 6, { timeoutMs: 20_000 });
        await load.stop();
        const there = new Set(await namesIn(heir(), "fo1-"));
        expect(acknowledged.filter(({ name }) => !there.has(name))).toEqual([]);
        for (let index = 0; index < 2; index++) {
          expect(await metric(index, "db_failovers_total")).toBe(1);
          expect(
            at(stage, index)
              .gateway.logs()
              .match(/"event":"db_failover"/g),
          ).toHaveLength(1);
        }
        await stage.untilReady();
      },
      heir,
    );
  }, 90_000);

  it("FO-03 black box: the old primary back and writable: it gets no write, whoever starts when", async () => {
    if (!failedOver) {
      await failOver();
      await eventually(async () => (await write(stage, at(stage, 0))).status === 201, { timeoutMs: 20_000 });
    }
    await underWatch(
      stage,
      async () => {
        await stage.primary.restart();
        await stage.primary.query("alter system set synchronous_standby_names = ''");
        await stage.primary.query("select pg_reload_conf()");
        for (let index = 0; index < 2; index++) {
          await eventually(async () => {
            const { body } = await at(stage, index).rest("/admin/database");
            return body.servers.every(({ state }: { state: string }) => state === "up");
          });
        }
        const acknowledged = new Set<string>();
        await eventually(
          async () => {
            const name = `fo3-${newKey()["idempotency-key"]}`;
            const { status } = await write(stage, at(stage, acknowledged.size), { name });
            expect([201, 503]).toContain(status);
            if (status === 201) acknowledged.add(name);
            return acknowledged.size === 20;
          },
          { timeoutMs: 30_000, intervalMs: 0 },
        );
        expect(await namesIn(stage.primary, "fo3-")).toEqual([]);
        expect(await namesIn(heir(), "fo3-")).toEqual(expect.arrayContaining([...acknowledged]));

        // With the new one away the old one is no place to write to.
        await heir().stop();
        await eventually(async () => outcomeOf(await write(stage, at(stage, 0)))[1] === "db_fenced", {
          timeoutMs: 10_000,
        });
        const { body } = await at(stage, 0).rest("/health/ready");
        expect(body.checks.database).toMatchObject({ status: "down", reason: "fenced" });
        await heir().restart();
        await stage.untilReady(20_000);
        expect(await namesIn(stage.primary, "fo3-")).toEqual([]);
      },
      heir,
    );
    // One that starts anew, and knows of the new one from Redis alone.
    await at(stage, 1).gateway.restart();
    await stage.untilReady(20_000);
    expect((await write(stage, at(stage, 1), { name: "fo3-anew" })).status).toBe(201);
    expect(await namesIn(stage.primary, "fo3-")).toEqual([]);

    // Only an operator may say that the old one is the right one after all; all replicas follow.
    await heir().stop();
    await eventually(async () => outcomeOf(await write(stage, at(stage, 0)))[1] === "db_fenced", {
      timeoutMs: 10_000,
    });
    const accepted = await at(stage, 0).rest("/admin/database/accept", { method: "POST" });
    expect(accepted.status).toBe(200);
    for (let index = 0; index < 2; index++) {
      await eventually(
        async () => (await write(stage, at(stage, index), { name: `fo3-back-${index}` })).status === 201,
        { timeoutMs: 10_000, intervalMs: 250 },
      );
    }
    expect(await namesIn(stage.primary, "fo3-back-")).toEqual(["fo3-back-0", "fo3-back-1"]);
  }, 120_000);
});

describe("through two gateways: reads from a standby", () => {
  const maxReplicaLagMs = long ? 5_000 : 1_500;
  let stage: Stage;
  beforeAll(async () => {
    stage = await openCaseStage({ pair: "asynchronous", database: { maxReplicaLagMs } });
  }, 120_000);
  afterAll(() => stage.close());

  it("FO-02 black box: replay paused: nobody reads older than their own write, others not older than the lag allows", async () => {
    const { standby } = stage;
    if (standby === undefined) throw new Error("there is no standby");
    await underWatch(stage, async () => {
      const first = await write(stage, at(stage, 0), { name: "fo2-before" });
      const early = String(first.headers["x-consistency-token"]);
      const seen = async (index: number, headers: Record<string, string>) => {
        const { status, body } = await at(stage, index).rest("/servers?limit=1000", { headers });
        expect(status).toBe(200);
        return body.items.map(({ name }: { name: string }) => name) as string[];
      };
      await eventually(async () => (await namesIn(standby, "fo2-")).length === 1);
      await standby.query("select pg_wal_replay_pause()");
      try {
        const second = await write(stage, at(stage, 0), { name: "fo2-own" });
        expect(second.status).toBe(201);
        const own = { "x-consistency-token": String(second.headers["x-consistency-token"]) };
        for (let index = 0; index < 4; index++) {
          expect(await seen(index, own)).toContain("fo2-own");
          // Without a token from the primary.
          expect(await seen(index, {})).toContain("fo2-own");
        }
        const other = { "x-consistency-token": early };
        for (let index = 0; index < 2; index++) {
          expect(await seen(index, other)).toContain("fo2-before");
          // The standby is read from.
          expect((await connectionsOf(standby, at(stage, index))).pooled).toBeGreaterThan(0);
        }
        // What is older than the lag allows is read from the primary, whatever the token says.
        const writtenMs = performance.now();
        await eventually(async () => (await seen(0, other)).includes("fo2-own"), {
          timeoutMs: maxReplicaLagMs + 3_000 + times.slackMs,
          intervalMs: 100,
        });
        expect(performance.now() - writtenMs).toBeLessThan(maxReplicaLagMs + 3_000 + times.slackMs);
      } finally {
        await standby.query("select pg_wal_replay_resume()");
      }
    });
  }, 60_000);
});
