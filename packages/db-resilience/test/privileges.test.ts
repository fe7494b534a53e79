import { type PostgresPair, startPostgresPair } from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { resilienceTables } from "../src/index.ts";
import { openDatabase, type Subject, timed } from "./support.ts";

let pair: PostgresPair;
let subject: Subject;
beforeAll(async () => {
  pair = await startPostgresPair();
  await pair.primary.query("create role plain login");
  await pair.primary.query("create table t (n int)");
  await pair.primary.query("grant all on t to plain");
  await pair.caughtUp();
});
afterEach(() => subject.database.close());
afterAll(() => pair.close());

describe("a role without rights beyond its own tables", () => {
  it("is told that the tables of this package are missing, and the connection stays", async () => {
    subject = openDatabase([pair.primary], { user: "plain" });
    const outcome = await timed(() =>
      subject.database.transaction((tx) => tx.query("insert into t values (1)"), { settle: true }),
    );
    expect(outcome).toMatchObject({ status: 500, code: "db_query_invalid", error: { sqlState: "42501" } });
    expect((await timed(() => subject.database.query("insert into t values (1)"))).status).toBe(200);
  });

  it("has roles, fencing and settling once a migration has made the tables", async () => {
    for (const [table, statement] of Object.entries(resilienceTables)) {
      await pair.primary.query(statement);
      await pair.primary.query(`grant all on ${table} to plain`);
    }
    subject = openDatabase([pair.standby, pair.primary], { user: "plain" });
    const outcome = await timed(() =>
      subject.database.transaction((tx) => tx.query("insert into t values (2)"), { settle: true }),
    );
    expect(outcome.status).toBe(200);
    expect(await pair.primary.query("select timeline from gatewright_fence")).toEqual([{ timeline: 1 }]);
    expect(subject.database.readiness()).toMatchObject({ state: "ready", timeline: 1 });
  });

  it("creates the tables once when many replicas begin together", async () => {
    await pair.primary.query("drop table gatewright_tx, gatewright_fence");
    await pair.primary.query("grant create on schema public to plain");
    const subjects = Array.from({ length: 6 }, () =>
      openDatabase([pair.primary, pair.standby], { user: "plain" }),
    );
    const outcomes = await Promise.all(
      subjects.map(({ database }) =>
        timed(() => database.transaction((tx) => tx.query("insert into t values (3)"), { settle: true })),
      ),
    );
    expect(outcomes.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
    await Promise.all(subjects.map(({ database }) => database.close()));
  });
});
