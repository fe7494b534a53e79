import type { Stage } from "@gatewright/resilience";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  at,
  long,
  namesIn,
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
  // A wait for a lock is looked at once, this long after it began: both have to wait by then.
  stage = await openCaseStage({ settings: { deadlock_timeout: "1s" } });
}, 120_000);
afterAll(() => stage.close());

describe("through two gateways: transactions", () => {
  it("TX-01 black box: opposed row locks: one transaction is ended and made anew, both take effect, as if one after the other", async () => {
    await underWatch(stage, async () => {
      const { url } = (await at(stage, 0).rest(`/gateways/${stage.upstreamId}`)).body;
      const { body } = await at(stage, 0).rest("/gateways", { body: { name: "opposed", url } });
      const other = await stage.primary.client();
      // The second session has more patience, so that the gateway's transaction is the one that is ended.
      await other.query("begin; set local deadlock_timeout = '20s'");
      await other.query("update servers set updated_at = 7 where id = $1", [body.id]);
      const path = `/gateways/${body.id}`;
      const renamed = at(stage, 0).rest(path, { method: "PATCH", body: { name: "renamed" } });
      await waitingForLock(stage);
      await other.query("update upstreams set state_reason = 'by the other' where id = $1", [body.id]);
      await other.query("commit");
      await other.end();
      expect((await renamed).status).toBe(200);
      expect((await at(stage, 1).rest(path)).body.name).toBe("renamed");
      const { logs } = at(stage, 0).gateway;
      expect(logs().match(/"event":"db_deadlock"/g)).toHaveLength(1);
      expect((await at(stage, 0).rest("/metrics")).text).toMatch(/^db_deadlocks_total 1$/m);
      // Two replicas at once: both are done, one after the other.
      const both = await Promise.all(
        [0, 1].map((index) =>
          at(stage, index).rest(path, { method: "PATCH", body: { tags: [`by ${index}`] } }),
        ),
      );
      expect(both.map(({ status }) => status)).toEqual([200, 200]);
      expect((await at(stage, 0).rest(path)).body.revision).toBe(4);
    });
  }, 60_000);

  it("TX-02 black box: a statement over its time: 503 db_timeout, its locks are free at once, the next request is served", async () => {
    await underWatch(stage, async () => {
      const lock = await stage.primary.client();
      await lock.query("begin; lock table servers in share mode");
      const slow = await at(stage, 0).rest(`/gateways/${stage.upstreamId}`, {
        method: "PATCH",
        body: { name: "slow" },
      });
      expect(outcomeOf(slow)).toEqual([503, "db_timeout"]);
      expect(slow.ownMs).toBeLessThan(times.statementMs + 1_000 + times.slackMs);
      await eventually(
        async () => {
          const rows = await stage.primary.query(
            "select 1 from pg_locks l join pg_stat_activity a using (pid) where a.application_name ~ '^replica[0-9]$' and l.locktype = 'relation' and l.mode like 'Row%'",
          );
          return rows.length === 0;
        },
        // Within a second on an idle machine.
        { timeoutMs: long ? 1_000 + times.slackMs : 5_000 },
      );
      await lock.query("rollback");
      await lock.end();
      expect((await write(stage, at(stage, 0))).status).toBe(201);
      expect((await at(stage, 1).rest(`/gateways/${stage.upstreamId}`)).body.name).toBe("echo");
    });
  }, 60_000);

  it("TX-03 black box: cut between two writes and at COMMIT: nothing partial, repeated only under a key, an unknown outcome said", async () => {
    await underWatch(stage, async () => {
      const cut = (pattern: string, position: "before" | "after", mode: "rst" | "blackhole") =>
        stage.fault({ up: { cutAt: { pattern, position, mode } } });
      const count = async (name: string) => (await namesIn(stage.primary, name)).length;
      for (const mode of ["rst", "blackhole"] as const) {
        cut("update registry_version", "before", mode);
        const lost = await write(stage, at(stage, 0), { name: `tx3-${mode}-plain` });
        expect(lost.status).toBe(503);
        expect(["db_unavailable", "db_timeout"]).toContain(lost.body.error.code);
        stage.heal();
        await stage.untilReady();
        expect(await count(`tx3-${mode}-plain`)).toBe(0);
      }
      cut("update registry_version", "before", "rst");
      const repeated = await write(stage, at(stage, 0), { name: "tx3-keyed", headers: newKey() });
      expect(repeated.status).toBe(201);
      expect(await count("tx3-keyed")).toBe(1);
      stage.heal();

      for (const position of ["before", "after"] as const) {
        // Something that the gateway does by itself may come to its COMMIT first.
        let attempts = 0;
        const name = () => `tx3-end-${position}-${attempts}.`;
        const unknown = await eventually(async () => {
          attempts++;
          cut("commit", position, "rst");
          const answer = await write(stage, at(stage, 0), { name: name() });
          stage.heal();
          await stage.untilReady();
          return answer.status !== 201 && answer;
        });
        expect(outcomeOf(unknown)).toEqual([503, "outcome_unknown"]);
        expect(unknown.body.error.retryable).toBe(false);
        await eventually(async () => (await count(name())) === (position === "after" ? 1 : 0));

        cut("commit", position, "rst");
        const headers = newKey();
        const settled = await write(stage, at(stage, 0), { name: `tx3-settled-${position}`, headers });
        expect(settled.status).toBe(201);
        stage.heal();
        expect(await count(`tx3-settled-${position}`)).toBe(1);
        // Asked for again, on the other replica: the same one.
        const again = await write(stage, at(stage, 1), { name: `tx3-settled-${position}`, headers });
        expect([again.status, again.body.id]).toEqual([201, settled.body.id]);
      }
    });
  }, 60_000);
});
