import { eventually, type PostgresServer, startPostgres } from "@gatewright/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { application, openDatabase, timed } from "./support.ts";

let postgres: PostgresServer;
beforeAll(async () => {
  postgres = await startPostgres();
  await postgres.query("create table t (n int)");
});
afterAll(() => postgres.close());

it("a database that has become read-only for new sessions is not ready, and ready by itself when it is not any more", async () => {
  const subject = openDatabase([postgres], { targetSessionAttrs: "read-write" });
  const { database } = subject;
  const insert = () => timed(() => database.query("insert into t values (1)"));
  expect(await insert()).toMatchObject({ status: 200 });
  await postgres.query("alter database postgres set default_transaction_read_only = on");
  await postgres.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1", [
    application,
  ]);
  await eventually(
    async () => {
      expect(await insert()).toMatchObject({ status: 503, code: "db_unavailable" });
      return database.readiness().state === "unavailable";
    },
    { timeoutMs: 5_000, intervalMs: 100 },
  );
  expect(database.readiness().reason).toBe("role");
  const admin = await postgres.client({ options: "-c default_transaction_read_only=off" });
  await admin.query("alter database postgres reset default_transaction_read_only");
  await admin.end();
  await eventually(() => database.readiness().state === "ready", { timeoutMs: 10_000 });
  for (let n = 0; n < 6; n++) expect(await insert()).toMatchObject({ status: 200 });
  await database.close();
});
