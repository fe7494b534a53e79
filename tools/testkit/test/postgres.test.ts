import { rm } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  eventually,
  type PostgresServer,
  startPostgres,
  startPostgresPair,
  startPostgresStandby,
} from "../src/index.ts";

describe("startPostgres", () => {
  let postgres: PostgresServer;
  beforeAll(async () => {
    postgres = await startPostgres({ settings: { max_connections: 23 } });
    await postgres.query("create table t (n int)");
  });
  afterAll(() => postgres.close());

  it("takes settings and answers by URL", async () => {
    const client = await postgres.client({ connectionString: postgres.url });
    expect((await client.query("show max_connections")).rows).toEqual([{ max_connections: "23" }]);
    await client.end();
  });

  it("keeps its data and port over stop and restart, and over kill and restart", async () => {
    await postgres.query("insert into t values (1)");
    await postgres.stop();
    expect(postgres.running).toBe(false);
    await expect(postgres.query("select 1")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    await postgres.restart();
    await postgres.query("insert into t values (2)");
    const client = await postgres.client();
    await postgres.kill();
    await expect(client.query("select 1")).rejects.toThrow();
    await postgres.restart();
    expect(await postgres.query("select n from t order by n")).toEqual([{ n: 1 }, { n: 2 }]);
  });

  it("freezes with its backends and goes on after resume", async () => {
    const client = await postgres.client();
    postgres.pause();
    let answered = false;
    const answer = client.query("select 1 as one").then((result) => {
      answered = true;
      return result.rows;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(answered).toBe(false);
    postgres.resume();
    expect(await answer).toEqual([{ one: 1 }]);
    postgres.pause();
    await postgres.stop();
    expect(postgres.running).toBe(false);
    await postgres.restart();
  });

  it("asks for the password when told to", async () => {
    await using guarded = await startPostgres({ auth: "scram-sha-256" });
    expect(await guarded.query("select 1 as one")).toEqual([{ one: 1 }]);
    await expect(guarded.client({ password: "wrong" })).rejects.toMatchObject({ code: "28P01" });
  });

  it("reports the server's own words when it cannot start", async () => {
    await expect(startPostgres({ settings: { no_such_setting: 1 } })).rejects.toThrow(/no_such_setting/);
  });

  it("removes its data on close", async () => {
    const other = await startPostgres();
    await other.close();
    await other.close();
    await expect(rm(other.dataDirectory)).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe("startPostgresPair", () => {
  it("streams, and after a promotion the standby takes writes while the old primary can come back", async () => {
    await using pair = await startPostgresPair();
    await pair.primary.query("create table t (n int)");
    await pair.primary.query("insert into t values (1)");
    await pair.caughtUp();
    await expect(pair.standby.query("insert into t values (9)")).rejects.toMatchObject({ code: "25006" });
    await pair.primary.stop();
    await pair.promote();
    await pair.standby.query("insert into t values (2)");
    expect(await pair.standby.query("select n from t order by n")).toEqual([{ n: 1 }, { n: 2 }]);
    await pair.primary.restart();
    expect(await pair.primary.query("select n from t")).toEqual([{ n: 1 }]);
  });

  it("acknowledges commits only after the standby has them when synchronous, and promotes unblocked", async () => {
    await using pair = await startPostgresPair({ synchronous: true });
    await pair.primary.query("create table t (n int)");
    pair.standby.pause();
    const client = await pair.primary.client();
    let acknowledged = false;
    const insert = client.query("insert into t values (1)").then(() => {
      acknowledged = true;
    });
    await eventually(async () => {
      const rows = await pair.primary.query("select 1 from pg_stat_activity where wait_event = 'SyncRep'");
      return rows.length === 1;
    });
    expect(acknowledged).toBe(false);
    pair.standby.resume();
    await insert;
    await pair.primary.kill();
    await pair.promote();
    await pair.standby.query("insert into t values (2)");
    expect(await pair.standby.query("select n from t order by n")).toEqual([{ n: 1 }, { n: 2 }]);
  });

  it("starts several standbys of one primary", async () => {
    await using primary = await startPostgres();
    await using first = await startPostgresStandby(primary, { name: "first" });
    await using second = await startPostgresStandby(primary, { name: "second" });
    const rows = await primary.query("select application_name as name from pg_stat_replication order by 1");
    expect(rows).toEqual([{ name: "first" }, { name: "second" }]);
    expect([first.running, second.running]).toEqual([true, true]);
  });
});
