import { execFile } from "node:child_process";
import dns from "node:dns";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  createFakeClock,
  eventually,
  type PostgresServer,
  startPgBouncer,
  startPostgres,
  startPostgresPair,
} from "@gatewright/testkit";
import { Kysely, sql } from "kysely";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { systemClock } from "../src/clock.ts";
import { createDatabaseMetrics, type ResilientDatabase } from "../src/index.ts";
import { createResilientDialect } from "../src/kysely/index.ts";
import { sleep } from "../src/sleep.ts";
import { createFaultProxy } from "../src/testing/index.ts";
import { openDatabase, pooledBackends, running, type Subject, timed } from "./support.ts";

const fixture = (name: string) => readFileSync(join(import.meta.dirname, "fixtures", name), "utf8");

let postgres: PostgresServer;
let subject: Subject;
beforeAll(async () => {
  postgres = await startPostgres({
    settings: { ssl: "on" },
    files: { "server.crt": fixture("localhost.crt"), "server.key": fixture("localhost.key") },
  });
  await postgres.query("create table t (n int primary key)");
});
afterEach(async () => {
  await subject.database.close({ deadlineMs: 100 });
  await postgres.query("truncate t");
});
afterAll(() => postgres.close());

describe("connections", () => {
  it("speak TLS when asked to, also for cancelling, and refuse a certificate they do not know", async () => {
    subject = openDatabase([{ host: "localhost", port: postgres.port }], {
      ssl: { ca: fixture("localhost.crt") },
    });
    const { rows } = await subject.database.query("select ssl from pg_stat_ssl where pid = pg_backend_pid()");
    expect(rows).toEqual([{ ssl: true }]);
    const stopped = timed(() =>
      subject.database.withConnection((session) =>
        session.query("select pg_sleep(30)", [], { timeoutMs: 150 }),
      ),
    );
    expect(await stopped).toMatchObject({ code: "db_timeout" });
    await eventually(
      async () =>
        (
          await postgres.query(
            "select 1 from pg_stat_activity where query like '%pg_sleep(30)' and state = 'active' and pid <> pg_backend_pid()",
          )
        ).length === 0,
    );
    const strict = openDatabase([{ host: "localhost", port: postgres.port }], { ssl: true });
    expect((await timed(() => strict.database.query("select 1"))).code).toBe("db_unavailable");
    await eventually(() => strict.database.readiness().reason === "config");
    const { error } = await timed(() => strict.database.query("select 1"));
    expect(error).toMatchObject({ code: "db_unavailable", retryable: false, httpStatus: 503 });
    expect(error?.message).toMatch(/certificates/);
    await strict.database.close();
  });

  it("carry the timeouts to the server, and return int8 as asked", async () => {
    subject = openDatabase([postgres], {
      int8AsNumber: true,
      timeouts: { statementMs: 1_234, lockMs: 55, idleInTransactionMs: 777 },
    });
    const { rows } = await subject.database.query(
      `select current_setting('statement_timeout') as s, current_setting('lock_timeout') as l,
       current_setting('idle_in_transaction_session_timeout') as i, 9007199254740991::int8 as n`,
    );
    expect(rows).toEqual([{ s: "1234ms", l: "55ms", i: "777ms", n: 9_007_199_254_740_991 }]);
  });

  it("ask a function for the password at every connect", async () => {
    await using guarded = await startPostgres({ auth: "scram-sha-256" });
    let asked = 0;
    subject = openDatabase([guarded], {
      password: async () => {
        asked++;
        return guarded.password;
      },
    });
    expect((await timed(() => subject.database.query("select 1"))).status).toBe(200);
    expect(asked).toBeGreaterThanOrEqual(2);
  });

  it("resolve the host's name anew each time", async () => {
    await using other = await startPostgres();
    await using first = await createFaultProxy({ upstream: postgres });
    await using second = await createFaultProxy({ upstream: other, host: "127.0.0.2", port: first.port });
    let address = first.host;
    const lookup = vi
      .spyOn(dns, "lookup")
      .mockImplementation(((
        _name: string,
        { all }: { all?: boolean },
        done: (...answer: unknown[]) => void,
      ) => (all ? done(null, [{ address, family: 4 }]) : done(null, address, 4))) as never);
    try {
      subject = openDatabase([{ host: "database.test", port: first.port }]);
      const port = async () => (await subject.database.query("show port")).rows[0]?.["port"];
      expect(await port()).toBe(String(postgres.port));
      address = second.host;
      first.resetConnections();
      await eventually(async () => (await port()) === String(other.port));
    } finally {
      lookup.mockRestore();
    }
  });

  it("end idle transactions on the server, which is a timeout and no crash", async () => {
    subject = openDatabase([postgres], { timeouts: { idleInTransactionMs: 500 } });
    const outcome = await timed(() =>
      subject.database.transaction(async (tx) => {
        await tx.query("insert into t values (1)");
        await eventually(async () => (await pooledBackends(postgres)).every((pid) => pid !== tx.backendPid));
        await eventually(() => subject.events.some(({ type }) => type === "db_connection_closed"), {
          timeoutMs: 300,
        }).catch(() => {});
        await tx.query("insert into t values (2)");
      }),
    );
    expect(outcome).toMatchObject({ status: 503, code: "db_timeout", error: { sqlState: "25P03" } });
    // The same for one that the server lets last no longer.
    const long = await timed(() =>
      subject.database.transaction(async (tx) => {
        await tx.query("set local idle_in_transaction_session_timeout = 0");
        await tx.query("set local transaction_timeout = 100");
        await eventually(async () => (await pooledBackends(postgres)).every((pid) => pid !== tx.backendPid));
        await tx.query("insert into t values (2)");
      }),
    );
    expect(long).toMatchObject({ status: 503, code: "db_timeout", error: { sqlState: "25P04" } });
    expect(await postgres.query("select * from t")).toEqual([]);
  });

  it("that the server has ended for a timeout of their own leave the others alone", async () => {
    subject = openDatabase([postgres], { pool: { min: 3, size: 3 }, timeouts: { idleInTransactionMs: 100 } });
    await eventually(() => subject.database.stats().hosts[0]?.idle === 3);
    const before = await pooledBackends(postgres);
    let ended = 0;
    await timed(() =>
      subject.database.transaction(async (tx) => {
        ended = tx.backendPid;
        await eventually(async () => !(await pooledBackends(postgres)).includes(ended));
        await tx.query("select 1");
      }),
    );
    await eventually(() => subject.database.stats().hosts[0]?.idle === 3);
    const after = await pooledBackends(postgres);
    expect(after).toEqual(expect.arrayContaining(before.filter((pid) => pid !== ended)));
    expect(subject.events.filter(({ type }) => type === "db_generation")).toEqual([]);
  });

  it("TX-03 a COMMIT whose wait for the standby was cancelled is an unknown outcome, though the server calls it a success", async () => {
    await using pair = await startPostgresPair({ synchronous: true });
    await pair.primary.query("create table t (n int)");
    // Neither what the role is set to nor what a session is told hides the warning.
    await pair.primary.query("alter role gatewright set client_min_messages = error");
    subject = openDatabase([pair.primary], { timeouts: { statementMs: 0, statementGraceMs: 0 } });
    await subject.database.untilReady();
    pair.standby.pause();
    const insert = "insert into t values (1)";
    const { database } = subject;
    for (const write of [
      () => database.transaction((tx) => tx.query(insert)),
      () => database.query(insert),
      () =>
        database.transaction(async (tx) => {
          await tx.query("set local client_min_messages = error");
          await tx.query(insert);
        }),
      () =>
        database.withConnection(async (session) => {
          await session.query("select set_config('client_min_messages', 'error', false)");
          await session.query(insert);
        }),
    ]) {
      const outcome = timed(write);
      const waiting = await eventually(async () => {
        const [row] = await pair.primary.query<{ pid: number }>(
          "select pid from pg_stat_activity where wait_event = 'SyncRep'",
        );
        return row ?? false;
      });
      await pair.primary.query("select pg_cancel_backend($1)", [waiting.pid]);
      expect(await outcome).toMatchObject({
        status: 503,
        code: "outcome_unknown",
        error: { details: { reason: "not confirmed by the standby" } },
      });
    }
    pair.standby.resume();
  });

  it("say of a COMMIT that fails after warnings were suppressed what it failed with", async () => {
    subject = openDatabase([postgres]);
    const swallowed = await timed(() =>
      subject.database.transaction(async (tx) => {
        await tx.query("set local client_min_messages = error");
        await tx.query("selec").catch(() => {});
      }),
    );
    expect(swallowed).toMatchObject({ code: "db_query_invalid" });
    expect((await timed(() => subject.database.query("select 1"))).status).toBe(200);
  });

  it("are cancelled at the very server, also when its name has come to stand for another", async () => {
    await using other = await startPostgres();
    await using second = await createFaultProxy({ upstream: other, host: "127.0.0.2", port: postgres.port });
    let address = "127.0.0.1";
    const lookup = vi
      .spyOn(dns, "lookup")
      .mockImplementation(((
        _name: string,
        { all }: { all?: boolean },
        done: (...answer: unknown[]) => void,
      ) => (all ? done(null, [{ address, family: 4 }]) : done(null, address, 4))) as never);
    try {
      subject = openDatabase([{ host: "database.test", port: postgres.port }]);
      const slow = timed(() =>
        subject.database.withConnection((session) =>
          session.query("select pg_sleep(31)", [], { timeoutMs: 2_000 }),
        ),
      );
      await running(postgres, "select pg_sleep(31)");
      address = second.host;
      expect(await slow).toMatchObject({ code: "db_timeout" });
      await eventually(
        async () =>
          (await postgres.query("select 1 from pg_stat_activity where query = 'select pg_sleep(31)'"))
            .length === 0,
      );
    } finally {
      lookup.mockRestore();
    }
  });

  it("do not ask for a name that is being asked for, however often they try", async () => {
    const answers: (() => void)[] = [];
    const lookup = vi
      .spyOn(dns, "lookup")
      .mockImplementation(((
        _name: string,
        { all }: { all?: boolean },
        done: (...answer: unknown[]) => void,
      ) =>
        answers.push(() =>
          all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4),
        )) as never);
    try {
      subject = openDatabase([{ host: "database.test", port: postgres.port }], {
        pool: { connectTimeoutMs: 100, acquireTimeoutMs: 500 },
        monitor: { minRetryMs: 50, maxRetryMs: 50 },
      });
      const outcomes = await Promise.all(
        Array.from({ length: 5 }, () => timed(() => subject.database.query("select 1"))),
      );
      for (const { code, ms } of outcomes) {
        expect(code).toBe("db_unavailable");
        expect(ms).toBeLessThan(5 * 500);
      }
      // Time for four attempts of the monitor.
      const start = performance.now();
      await eventually(() => performance.now() - start > 600);
      expect(answers.length).toBe(1);
      // Whoever asks later is served by the answer, late as it is.
      for (const answer of answers) answer();
      await eventually(() => {
        for (const answer of answers.splice(0)) answer();
        return subject.database.readiness().state === "ready";
      });
    } finally {
      lookup.mockRestore();
    }
  });

  it("are refused at once with a signal that is aborted already, and leave a queue when it aborts", async () => {
    subject = openDatabase([postgres], { pool: { size: 1, overflow: 0 } });
    const aborted = AbortSignal.abort(new Error("no"));
    expect((await timed(() => subject.database.query("select 1", [], { signal: aborted }))).code).toBe(
      "db_aborted",
    );
    const controller = new AbortController();
    await subject.database.withConnection(async () => {
      const waiting = timed(() => subject.database.query("select 1", [], { signal: controller.signal }));
      await eventually(() => subject.database.stats().waiting === 1);
      controller.abort();
      expect((await waiting).code).toBe("db_aborted");
      expect(subject.database.stats().waiting).toBe(0);
    });
    expect((await timed(() => subject.database.query("select 1"))).status).toBe(200);
  });

  it("close waits for what is under way, then destroys it", async () => {
    subject = openDatabase([postgres]);
    const short = timed(() => subject.database.query("select pg_sleep(0.3)"));
    await running(postgres, "select pg_sleep(0.3)");
    await subject.database.close({ deadlineMs: 5_000 });
    expect((await short).status).toBe(200);
    const other = openDatabase([postgres]);
    const long = timed(() => other.database.query("select pg_sleep(30)"));
    await running(postgres, "select pg_sleep(30)");
    await other.database.close({ deadlineMs: 50 });
    expect((await long).status).toBe(503);
  });

  it("do not keep a process alive that forgets to close", async () => {
    const script = `
      import { createResilientDatabase } from ${JSON.stringify(new URL("../src/index.ts", import.meta.url).href)};
      const database = createResilientDatabase({ connectionString: ${JSON.stringify(postgres.url)} });
      database.listen("news", { notified: () => {} });
      const { rows } = await database.query("select 1 as first; select 2 as last");
      console.log(JSON.stringify(rows));`;
    const args = ["--conditions=@gatewright/source", "--input-type=module", "-e", script];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
    // Of several statements in one text the last one's rows.
    expect(JSON.parse(stdout)).toEqual([{ last: 2 }]);
  });
});

describe("behind PgBouncer in transaction mode", () => {
  it("runs without session state: timeouts by SET LOCAL, names dropped, one client's transaction at a time", async () => {
    await using bouncer = await startPgBouncer(postgres, { poolSize: 2 });
    subject = openDatabase([bouncer], { pooler: "transaction", timeouts: { statementMs: 700 } });
    const settings = await subject.database.transaction(async (tx) => {
      const { rows } = await tx.query("select current_setting('statement_timeout') as s");
      return rows;
    });
    expect(settings).toEqual([{ s: "700ms" }]);
    const ofKysely = await subject.database.kysely
      .transaction()
      .execute((tx) => sql`select current_setting('statement_timeout') as s`.execute(tx));
    expect(ofKysely.rows).toEqual([{ s: "700ms" }]);
    const outside = await subject.database.query("select current_setting('statement_timeout') as s");
    expect(outside.rows).toEqual([{ s: "0" }]);
    const named = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        subject.database.query({ name: "same", text: "select $1::int as n", values: [n] }),
      ),
    );
    expect(named.map(({ rows }) => rows[0]?.["n"])).toEqual(Array.from({ length: 20 }, (_, n) => n));
    const slow = await timed(() => subject.database.query("select pg_sleep(30)", [], { timeoutMs: 200 }));
    expect(slow.code).toBe("db_timeout");
    // On a busy machine the pooler may need longer to open a server connection than a query waits for one.
    await eventually(async () => (await timed(() => subject.database.query("select 1"))).status === 200);
  });

  it("survives the cancel request of a statement that is given up, though its server is slow to take it", async () => {
    await using proxy = await createFaultProxy({ upstream: { host: postgres.host, port: postgres.port } });
    await using bouncer = await startPgBouncer({ ...postgres, host: proxy.host, port: proxy.port });
    subject = openDatabase([bouncer], { pooler: "transaction" });
    await subject.database.query("select 1");
    proxy.set({ both: { latencyMs: 50 } });
    const slow = await timed(() => subject.database.query("select pg_sleep(32)", [], { timeoutMs: 300 }));
    expect(slow.code).toBe("db_timeout");
    await eventually(async () => {
      const rows = await postgres.query(
        "select 1 from pg_stat_activity where query = 'select pg_sleep(32)' and state = 'active'",
      );
      return rows.length === 0;
    });
    expect((await timed(() => subject.database.query("select 1"))).status).toBe(200);
    expect(bouncer.logs()).not.toContain("FATAL");
  });
});

describe("behind PgBouncer with one server connection", () => {
  it("leaves no setting in it, neither after transactions nor after changes outside", async () => {
    await using bouncer = await startPgBouncer(postgres, { poolSize: 1 });
    subject = openDatabase([bouncer], { pooler: "transaction", pool: { size: 1, overflow: 0 } });
    const { database } = subject;
    await database.query("create table left_nothing (n int)");
    const left = async () => {
      const { rows } = await database.query("select name from pg_settings where source = 'session'");
      return rows.map(({ name }) => name).filter((name) => /messages|timeout/.test(String(name)));
    };
    await database.transaction((tx) => tx.query("insert into left_nothing values (1)"));
    expect(await left()).toEqual([]);
    await database.query("insert into left_nothing values (2)");
    expect(await left()).toEqual([]);
    await database.transaction(async (tx) => {
      await tx.query("set local client_min_messages = error");
      await tx.query("insert into left_nothing values (3)");
    });
    await database.query("insert into left_nothing values (4)");
    expect(await left()).toEqual([]);
  });
});

describe("behind PgBouncer without a connection to spare", () => {
  it("is pool_exhausted, and no sign of a server that is away", async () => {
    await using bouncer = await startPgBouncer(postgres, {
      poolSize: 1,
      settings: { query_wait_timeout: 1 },
    });
    subject = openDatabase([bouncer], { pooler: "transaction", monitor: { intervalMs: 60_000 } });
    // Neither has reached the server, so that a change is refused as well, and not of unknown outcome.
    for (const statement of ["select 1", "create table never_made (n int)"]) {
      const waiting = await subject.database.transaction(async (tx) => {
        await tx.query("select 1");
        return timed(() => subject.database.query(statement));
      });
      expect(waiting).toMatchObject({ status: 503, code: "pool_exhausted", error: { retryable: true } });
    }
    expect(subject.events.filter(({ type }) => type === "db_generation")).toEqual([]);
    expect(subject.database.readiness().state).toBe("ready");
    expect((await timed(() => subject.database.query("select 1"))).status).toBe(200);
  });
});

describe("Kysely", () => {
  it("refuses to stream, and reports a failed BEGIN, COMMIT and deferred constraint", async () => {
    subject = openDatabase([postgres]);
    const kysely = new Kysely<{ t: { n: number } }>({
      dialect: createResilientDialect(subject.database as ResilientDatabase),
    });
    await expect(kysely.selectFrom("t").selectAll().stream().next()).rejects.toThrow(/read in pages/);
    const lost = kysely.transaction().execute(async (tx) => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx);
      await postgres.query("select pg_terminate_backend($1)", [rows[0]?.pid]);
    });
    // Unknown once COMMIT was on its way; before that, nothing has happened.
    await expect(lost).rejects.toMatchObject({
      code: expect.stringMatching(/^(outcome_unknown|db_unavailable)$/),
    });
    const swallowed = kysely.transaction().execute(async (tx) => {
      await sql`selec`.execute(tx).catch(() => {});
    });
    await expect(swallowed).rejects.toThrow(/rolled the transaction back/);
    const controlled = await kysely.startTransaction().execute();
    const point = await controlled.savepoint('odd "name"').execute();
    await (await point.releaseSavepoint('odd "name"').execute()).commit().execute();
    expect(await kysely.introspection.getTables()).toContainEqual(expect.objectContaining({ name: "t" }));
    await expect(
      kysely
        .selectFrom("t")
        .selectAll()
        .where("n", "=", "x" as never)
        .execute(),
    ).rejects.toMatchObject({ code: "validation_failed" });
  });

  it("repeats a lost SELECT only if nothing in it writes", async () => {
    subject = openDatabase([postgres], { pool: { size: 1, overflow: 0 } });
    const kysely = subject.database.kysely as Kysely<{ t: { n: number } }>;
    const kill = () =>
      postgres.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'app' and state = 'active'",
      );
    await postgres.query("insert into t values (1)");
    const slow = sql<number>`(select 1 from pg_sleep(0.4))`;
    const reading = kysely
      .with("w", (db) => db.selectFrom("t").select("n"))
      .selectFrom("w")
      .select(slow.as("x"))
      .execute();
    await running(postgres, 'with "w"%');
    await kill();
    expect(await reading).toEqual([{ x: 1 }]);
    const writing = kysely
      .with("w", (db) =>
        db.insertInto("t").values({ n: sql<number>`(select 5 from pg_sleep(0.4))` }).returning("n"),
      )
      .selectFrom("w")
      .select("n")
      .execute();
    const failed = writing.catch((error: unknown) => error);
    await running(postgres, 'with "w"%insert%');
    await kill();
    expect(await failed).toMatchObject({ code: "outcome_unknown" });
  });
});

describe("metrics", () => {
  it("follow the semantic conventions and pass everything on", async () => {
    const passed: string[] = [];
    const metrics = createDatabaseMetrics({
      query: () => void passed.push("query"),
      acquired: () => void passed.push("acquired"),
      released: () => void passed.push("released"),
      connected: () => void passed.push("connected"),
    });
    const { observer } = metrics;
    subject = openDatabase([postgres], {}, { observer });
    await subject.database.query("select 1");
    observer.event?.({ type: "db_deadlock", sqlState: "40P01", attempt: 1 });
    expect(new Set(passed)).toEqual(new Set(["query", "acquired", "released", "connected"]));
    const samples = metrics.collect(subject.database.stats());
    const named = (name: string) => samples.filter((sample) => sample.name === name);
    expect(named("db.client.connection.count").length).toBe(2);
    for (const name of [
      "max",
      "idle.min",
      "idle.max",
      "pending_requests",
      "timeouts",
      "create_time",
      "wait_time",
      "use_time",
    ]) {
      expect(named(`db.client.connection.${name}`).length, name).toBe(1);
    }
    expect(named("db_pool_size")[0]).toMatchObject({ value: 1 });
    expect(named("db_pool_connections_active")[0]).toMatchObject({ value: 0 });
    expect(named("db_deadlocks_total")[0]).toMatchObject({ kind: "counter", value: 1 });
    const [queries] = named("db_query_duration_seconds");
    expect(queries?.kind === "histogram" && queries.count).toBeGreaterThanOrEqual(1);
    expect(queries?.kind === "histogram" && queries.buckets.at(-1)?.count).toBeGreaterThanOrEqual(1);
  });
});

describe("an observer that throws", () => {
  it("does no harm", async () => {
    const fail = () => {
      throw new Error("observer");
    };
    subject = openDatabase(
      [postgres],
      {},
      { observer: { query: fail, acquired: fail, released: fail, connected: fail } },
    );
    expect((await timed(() => subject.database.query("select 1"))).status).toBe(200);
    await postgres.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'app%'",
    );
    // The session may end a moment after the statement was sent.
    expect((await timed(() => subject.database.query("select 1", [], { idempotent: true }))).status).toBe(
      200,
    );
  });
});

describe("sleep", () => {
  it("ends early with the reason of an abort", async () => {
    subject = openDatabase([postgres]);
    const controller = new AbortController();
    const early = sleep(systemClock, 60_000, controller.signal);
    controller.abort();
    await expect(early).rejects.toMatchObject({ code: "db_aborted" });
    await expect(sleep(systemClock, 1, controller.signal)).rejects.toMatchObject({ code: "db_aborted" });
    expect(systemClock.now()).toBeGreaterThan(createFakeClock().now() - 1e12);
  });
});
