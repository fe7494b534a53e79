import { eventually, type PostgresServer, startPostgres } from "@gatewright/testkit";
import { Kysely, sql } from "kysely";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  createMemoryFenceStore,
  createResilientDatabase,
  type DatabaseError,
  type DatabaseEvent,
  type FenceStore,
  type ResilientDatabase,
  type ResilientDatabaseOptions,
} from "../src/index.ts";
import { createResilientDialect } from "../src/kysely/index.ts";

interface Tables {
  t: { n: number; text: string | null };
}

let postgres: PostgresServer;
let database: ResilientDatabase<Tables>;
let events: DatabaseEvent[];

function open(options: ResilientDatabaseOptions = {}): ResilientDatabase<Tables> {
  events = [];
  return createResilientDatabase<Tables>(
    { connectionString: postgres.url, applicationName: "app", ...options },
    { observer: { event: (event) => void events.push(event) } },
  );
}

/** Backends of the pool (not of the monitor). */
async function backends(): Promise<number[]> {
  const rows = await postgres.query<{ pid: number }>(
    "select pid from pg_stat_activity where application_name = 'app' order by pid",
  );
  return rows.map(({ pid }) => pid);
}

const failure = (promise: Promise<unknown>): Promise<DatabaseError> =>
  promise.then(
    () => Promise.reject(new Error("it did not fail")),
    (error: DatabaseError) => error,
  );

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());
beforeEach(async () => {
  await postgres.query("drop table if exists t");
  await postgres.query("create table t (n int primary key, text text)");
  database = open();
});
afterEach(() => database.close({ deadlineMs: 100 }));

describe("createResilientDatabase", () => {
  it("runs statements by query, withConnection, transaction and Kysely", async () => {
    await database.query("insert into t values ($1, $2)", [1, "a"]);
    const pid = await database.withConnection(async (session) => {
      await session.query("insert into t values (2, 'b')");
      await session.kysely.insertInto("t").values({ n: 3, text: "c" }).execute();
      return session.backendPid;
    });
    expect(await backends()).toContain(pid);
    const inserted = await database.transaction(async (tx) => {
      await tx.kysely.insertInto("t").values({ n: 4, text: "d" }).execute();
      return (await tx.query<{ n: number }>("select max(n) as n from t")).rows[0]?.n;
    });
    expect(inserted).toBe(4);
    const rows = await database.kysely.selectFrom("t").select("n").orderBy("n").execute();
    expect(rows.map(({ n }) => n)).toEqual([1, 2, 3, 4]);
    const updated = await database.kysely
      .updateTable("t")
      .set({ text: "x" })
      .where("n", ">", 2)
      .executeTakeFirst();
    expect(updated.numUpdatedRows).toBe(2n);
  });

  it("serves Kysely's own transactions and savepoints", async () => {
    const kysely = new Kysely<Tables>({ dialect: createResilientDialect(database) });
    await kysely
      .transaction()
      .setIsolationLevel("serializable")
      .execute(async (tx) => {
        await tx.insertInto("t").values({ n: 1, text: null }).execute();
      });
    const controlled = await kysely.startTransaction().execute();
    await controlled.insertInto("t").values({ n: 2, text: null }).execute();
    const saved = await controlled.savepoint("here").execute();
    await saved.insertInto("t").values({ n: 3, text: null }).execute();
    await saved.rollbackToSavepoint("here").execute();
    await controlled.commit().execute();
    await expect(
      kysely.transaction().execute(async (tx) => {
        await tx.insertInto("t").values({ n: 9, text: null }).execute();
        throw new Error("no");
      }),
    ).rejects.toThrow("no");
    expect(await postgres.query("select n from t order by n")).toEqual([{ n: 1 }, { n: 2 }]);
    await kysely.destroy();
    expect((await database.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  });

  it("keeps its connection over unique violations: 20 errors, no new connection", async () => {
    await database.query("insert into t values (1, null)");
    const before = await backends();
    for (let i = 0; i < 20; i++) {
      const error = await failure(database.query("insert into t values (1, null)"));
      expect(error).toMatchObject({ code: "conflict", sqlState: "23505", retryable: false, httpStatus: 409 });
    }
    expect(await backends()).toEqual(before);
    expect(database.readiness().state).toBe("ready");
  });

  it("survives a backend killed while its connection is idle, checked out or at work", async () => {
    await database.query("select 1");
    const idle = await backends();
    await postgres.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'app'",
    );
    await eventually(async () => !(await backends()).some((pid) => idle.includes(pid)));
    expect((await database.query("select 1 as one")).rows).toEqual([{ one: 1 }]);

    const error = await failure(
      database.withConnection(async (session) => {
        await postgres.query("select pg_terminate_backend($1)", [session.backendPid]);
        await session.query("select 1");
      }),
    );
    expect(error).toMatchObject({ code: "db_unavailable", retryable: true });
    const killed = failure(database.query("select pg_sleep(5)"));
    await eventually(
      async () =>
        (
          await postgres.query(
            "select 1 from pg_stat_activity where query like '%pg_sleep(5)%' and application_name = 'app'",
          )
        ).length === 1,
    );
    await postgres.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'app'",
    );
    expect(await killed).toMatchObject({ code: "db_unavailable", class: "server_going" });
    expect((await database.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  });

  it("loses no acknowledged insert after a client-side timeout inside a transaction (Kysely 0.28's fault)", async () => {
    await database.close();
    database = open({ timeouts: { statementMs: 100_000 }, pool: { size: 1, overflow: 0 } });
    const error = await failure(
      database.kysely.transaction().execute(async (tx) => {
        await tx.insertInto("t").values({ n: 100, text: null }).execute();
        await sql`select pg_sleep(10)`.execute(tx, { signal: AbortSignal.timeout(100) });
      }),
    );
    expect(error).toBeDefined();
    for (const n of [1, 2, 3]) await database.kysely.insertInto("t").values({ n, text: null }).execute();
    expect(await postgres.query("select n from t order by n")).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  it("destroys a connection after a client deadline: the next four queries succeed (pg's query_timeout fault)", async () => {
    await database.close();
    database = open({ pool: { size: 1, overflow: 0 } });
    const error = await failure(
      database.withConnection((session) => session.query("select pg_sleep(30)", [], { timeoutMs: 100 })),
    );
    expect(error).toMatchObject({ code: "db_timeout", httpStatus: 503, retryable: true });
    for (let i = 0; i < 4; i++) expect((await database.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    await eventually(async () => {
      const running = await postgres.query(
        "select 1 from pg_stat_activity where query like 'select pg_sleep(30)%' and state = 'active'",
      );
      return running.length === 0;
    });
  });

  it("does not say of a change that its caller aborts that it was not made", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const slow = failure(database.query("insert into t select 9 from pg_sleep(30)", [], { signal }));
    await eventually(
      async () =>
        (await postgres.query("select 1 from pg_stat_activity where query like 'insert%30)'")).length > 0,
    );
    controller.abort(new Error("enough"));
    expect(await slow).toMatchObject({ code: "outcome_unknown" });
  });

  it("cancels on the server what its caller aborts, and gives the slot back", async () => {
    await database.close();
    database = open({ pool: { size: 1, overflow: 0 } });
    const controller = new AbortController();
    const slow = failure(database.query("select pg_sleep(30)", [], { signal: controller.signal }));
    await eventually(
      async () =>
        (await postgres.query("select 1 from pg_stat_activity where query = 'select pg_sleep(30)'"))
          .length === 1,
    );
    controller.abort(new Error("enough"));
    expect(await slow).toMatchObject({ code: "db_aborted" });
    await database.query("select 1");
    await eventually(() => database.stats().checkedOut === 0);
    const running = await postgres.query(
      "select 1 from pg_stat_activity where query = 'select pg_sleep(30)' and state = 'active'",
    );
    expect(running).toEqual([]);
  });

  it("never hands out a connection with an open transaction or an unfinished statement", async () => {
    const pid = await database.withConnection(async (session) => {
      await session.query("begin");
      await session.query("insert into t values (1, null)");
      return session.backendPid;
    });
    const next = await database.withConnection(async (session) => session.backendPid);
    expect(next).not.toBe(pid);
    expect(await postgres.query("select * from t")).toEqual([]);

    let forgotten: Promise<unknown> = Promise.resolve();
    const busy = await database.withConnection(async (session) => {
      forgotten = session.query("select pg_sleep(20)");
      forgotten.catch(() => {});
      return session.backendPid;
    });
    await expect(forgotten).rejects.toMatchObject({ code: "db_unavailable" });
    expect(await database.withConnection(async (session) => session.backendPid)).not.toBe(busy);
  });

  it("tells a server that lacks disk or memory from a wrong statement, and keeps the connection", async () => {
    await database.query("select 1");
    const before = await backends();
    for (const state of ["53100", "53200", "58030", "XX001"]) {
      let runs = 0;
      const refused = `do $$ begin raise exception 'no' using errcode = '${state}'; end $$`;
      const statement = await failure(database.query(refused));
      const transaction = await failure(
        database.transaction((tx) => {
          runs++;
          return tx.query(refused);
        }),
      );
      // Refused with an error, so nothing was done: callers may repeat it later.
      for (const error of [statement, transaction]) {
        expect(error).toMatchObject({ class: "server_fault", code: "db_unavailable", sqlState: state });
        expect(error).toMatchObject({ retryable: true, httpStatus: 503, retryAfterMs: 1_000 });
      }
      expect(runs).toBe(1);
    }
    expect(await backends()).toEqual(before);
    expect(database.readiness().state).toBe("ready");
  });

  it("destroys a connection whose COMMIT or BEGIN failed, whoever has sent it", async () => {
    await postgres.query("alter table t add constraint c unique (text) deferrable initially deferred");
    await database.close();
    database = open({ pool: { size: 1, overflow: 0 } });
    const twice = "insert into t values (1, 'same'), (2, 'same')";
    for (const [failing, code] of [
      [() => database.transaction((tx) => tx.query(twice)), "conflict"],
      [() => database.kysely.transaction().execute((tx) => sql.raw(twice).execute(tx)), "conflict"],
      [
        () =>
          database.withConnection(async (session) => {
            await session.query("begin");
            await session.query(twice);
            await session.query("commit");
          }),
        "conflict",
      ],
      [() => database.transaction(async () => {}, { isolation: "bogus" as never }), "db_query_invalid"],
    ] as const) {
      const backend = async () => (await database.query("select pg_backend_pid() as pid")).rows[0];
      const before = await backend();
      expect(await failure(failing())).toMatchObject({ code });
      expect([String(failing), await backend()]).not.toEqual([String(failing), before]);
    }
    expect(await postgres.query("select * from t")).toEqual([]);
    const swallowed = await failure(
      database.transaction(async (tx) => {
        await tx.query("selec 1").catch(() => {});
      }),
    );
    expect(swallowed.message).toMatch(/rolled the transaction back/);
  });

  it("takes a session away from those who keep it", async () => {
    const kept = await database.withConnection(async (session) => session);
    await expect(kept.query("select 1")).rejects.toThrow(/given back/);
  });

  it("sends nothing on a connection that was given back while its server's admission was asked for", async () => {
    const store = createMemoryFenceStore();
    let answer: Promise<void> | undefined;
    const waiting: FenceStore = {
      ...store,
      read: async () => {
        await answer;
        return store.read();
      },
    };
    await using fenced = createResilientDatabase(
      { connectionString: postgres.url, fencing: { leaseMs: 0 } },
      { fenceStore: waiting },
    );
    let [late, give]: [Promise<unknown>, () => void] = [Promise.resolve(), () => {}];
    await fenced.withConnection(async (session) => {
      answer = new Promise((resolve) => {
        give = resolve;
      });
      late = session.query("select 1");
      late.catch(() => {});
    });
    give();
    await expect(late).rejects.toThrow(/given back/);
  });

  it("stays up with a wrong password or an unknown database and says so, without secrets", async () => {
    await using guarded = await startPostgres({ auth: "scram-sha-256" });
    const place = { hosts: [`127.0.0.1:${guarded.port}`], user: guarded.user };
    const wrongPassword = createResilientDatabase({ ...place, database: "postgres", password: "wr0ng" });
    const unknown = createResilientDatabase({ ...place, database: "nowhere", password: guarded.password });
    for (const one of [wrongPassword, unknown]) {
      await eventually(() => one.readiness().state === "unavailable");
      expect(one.readiness().reason).toBe("config");
      const error = await failure(one.query("select 1"));
      // Coming back changes nothing, but somebody may have seen to it.
      expect(error).toMatchObject({
        code: "db_unavailable",
        httpStatus: 503,
        retryable: false,
        retryAfterMs: 1_000,
      });
      expect(`${error.message}${JSON.stringify(error)}`).not.toMatch(/wr0ng|127\.0\.0\.1|gatewright|nowhere/);
      await one.close();
    }
  });

  it("runs work under one advisory lock at a time", async () => {
    const other = open();
    let inside = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, ++inside);
      await database.query("select pg_sleep(0.05)");
      inside--;
    };
    await Promise.all(
      [database, other, database, other].map((one) => one.withAdvisoryLock("migrations", work)),
    );
    expect(most).toBe(1);
    await other.close();
  });

  it("refuses work after close and leaves no backend behind", async () => {
    await database.query("select 1");
    await database.close();
    expect(await failure(database.query("select 1"))).toMatchObject({ code: "db_closed" });
    await eventually(
      async () =>
        (await postgres.query("select 1 from pg_stat_activity where application_name like 'app%'")).length ===
        0,
    );
  });
});
