import { eventually, type PostgresPair, startPostgresPair } from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createReadSession } from "../src/index.ts";
import { openDatabase, type Subject } from "./support.ts";

let pair: PostgresPair;
let subject: Subject;
beforeAll(async () => {
  pair = await startPostgresPair();
  await pair.primary.query("create table t (n int)");
  await pair.caughtUp();
});
afterEach(async () => {
  await subject.database.close();
  await pair.standby.query("select pg_wal_replay_resume()").catch(() => {});
});
afterAll(() => pair.close());

/** A busy machine may be slow to answer; where that is not what is tested, it may. */
const patient = { answerMs: 5_000 };

async function open(options: Parameters<typeof openDatabase>[1] = {}): Promise<void> {
  subject = openDatabase([pair.primary, pair.standby], {
    ...options,
    replicas: { ...patient, ...options.replicas },
  });
  await eventually(() => subject.database.stats().hosts.every(({ state }) => state === "up"));
  // The first use begins the history that standbys have to follow.
  await eventually(async () => (await count({ maxLagMs: 60_000 }))?.port === pair.standby.port);
}

/** The number of rows and the port of the server that counted them. */
async function count(options: Parameters<Subject["database"]["read"]>[1] = {}) {
  return subject.database.read(async (session) => {
    const { rows } = await session.query<{ rows: number; port: number }>(
      "select (select count(*)::int from t) as rows, current_setting('port')::int as port",
    );
    return rows[0];
  }, options);
}

describe("reading from standbys", () => {
  it("FO-02 a session never reads older than its own write while replay is paused", async () => {
    await open({ replicas: { maxLagMs: 60_000 } });
    await pair.standby.query("select pg_wal_replay_pause()");
    const [{ before }] = (await pair.primary.query<{ before: number }>(
      "select count(*)::int as before from t",
    )) as [{ before: number }];
    const session = createReadSession();
    expect((await count({ session }))?.port).toBe(pair.standby.port);
    await subject.database.query("insert into t values (1)", [], { session });
    await subject.database.transaction((tx) => tx.query("insert into t values (2)"), { session });
    await subject.database.withConnection((one) => one.query("insert into t values (3)"), { session });
    for (let i = 0; i < 5; i++)
      expect(await count({ session })).toEqual({ rows: before + 3, port: pair.primary.port });
    expect(await count()).toEqual({ rows: before, port: pair.standby.port });
    // The token carries the session on to another request.
    expect((await count({ session: createReadSession(session.token) }))?.rows).toBe(before + 3);
    await pair.standby.query("select pg_wal_replay_resume()");
    await pair.caughtUp();
    expect(await count({ session })).toEqual({ rows: before + 3, port: pair.standby.port });
  });

  it.each(["any", "prefer-standby"] as const)(
    "FO-02 with %s too a session that the standby is behind for reads from the primary",
    async (targetSessionAttrs) => {
      await open({ targetSessionAttrs, replicas: { maxLagMs: 60_000 } });
      await pair.standby.query("select pg_wal_replay_pause()");
      const [row] = await pair.primary.query<{ rows: number; lsn: string }>(
        "insert into t values (1) returning (select count(*)::int + 1 from t) as rows, pg_current_wal_insert_lsn()::text as lsn",
      );
      const session = createReadSession(row?.lsn);
      for (let n = 0; n < 4; n++)
        expect(await count({ session })).toEqual({ rows: row?.rows, port: pair.primary.port });
      expect((await count())?.port).toBe(pair.standby.port);
    },
  );

  it("FO-02 others read within the largest lag, even when the standby cannot tell that it is behind", async () => {
    await open({ replicas: { maxLagMs: 300, waitForWriteMs: 10 }, monitor: { intervalMs: 50 } });
    expect((await count())?.port).toBe(pair.standby.port);
    await pair.standby.query("select pg_wal_replay_pause()");
    await subject.database.query("insert into t values (1)");
    await eventually(async () => (await count())?.port === pair.primary.port);
    expect((await count({ maxLagMs: 60_000 }))?.port).toBe(pair.standby.port);
    expect(subject.database.readiness().lagBytes).toBeGreaterThanOrEqual(0);
    await eventually(() => (subject.database.readiness().lagBytes ?? 0) > 0);
    await pair.standby.query("select pg_wal_replay_resume()");
    await eventually(async () => (await count())?.port === pair.standby.port);
  });

  it("FO-02 waits a moment for the standby to arrive at the session's write", async () => {
    await open({ replicas: { waitForWriteMs: 5_000 } });
    const session = createReadSession();
    await pair.standby.query("select pg_wal_replay_pause()");
    await subject.database.query("insert into t values (1)", [], { session });
    const read = count({ session });
    await pair.standby.query("select pg_wal_replay_resume()");
    expect((await read)?.port).toBe(pair.standby.port);
  });

  it("goes to the primary when the standby is gone, and for a session whose position is not known", async () => {
    await open();
    expect((await count({ session: createReadSession("nonsense") }))?.port).toBe(pair.primary.port);
    await pair.standby.kill();
    expect((await count())?.port).toBe(pair.primary.port);
    await pair.standby.restart();
    await eventually(async () => (await count())?.port === pair.standby.port);
  });

  it("goes to the primary within the budget when the standby is silent, and back when it answers again", async () => {
    const answerMs = 1_000;
    await open({ replicas: { answerMs, waitForWriteMs: 50 } });
    await eventually(async () => (await count())?.port === pair.standby.port);
    pair.standby.pause();
    try {
      for (let n = 0; n < 5; n++) {
        const start = performance.now();
        expect((await count({ session: createReadSession("0/1") }))?.port).toBe(pair.primary.port);
        expect(performance.now() - start).toBeLessThan(2 * answerMs);
      }
      // The first one finds out; those after it do not wait, nor does anything of it stay checked out.
      const start = performance.now();
      expect((await count())?.port).toBe(pair.primary.port);
      expect(performance.now() - start).toBeLessThan(0.75 * answerMs);
      await eventually(() => subject.database.stats().checkedOut === 0);
    } finally {
      pair.standby.resume();
    }
    await eventually(async () => (await count())?.port === pair.standby.port);
  });

  it("goes to the primary when the standby falls silent in the middle of a read, which may be run twice", async () => {
    await open({ timeouts: { statementMs: 400, statementGraceMs: 100 } });
    await eventually(async () => (await count())?.port === pair.standby.port);
    const ports: unknown[] = [];
    try {
      await subject.database.read(async (session) => {
        ports.push((await session.query("show port")).rows[0]?.["port"]);
        if (ports.length === 1) pair.standby.pause();
        await session.query("select 1");
      });
    } finally {
      pair.standby.resume();
    }
    expect(ports).toEqual([String(pair.standby.port), String(pair.primary.port)]);
    // A statement that is too slow, as the standby itself says, is no better elsewhere.
    await eventually(async () => (await count())?.port === pair.standby.port);
    let runs = 0;
    const slow = subject.database.read((session) => {
      runs++;
      return session.query("select pg_sleep(5)");
    });
    await expect(slow).rejects.toMatchObject({ code: "db_timeout", sqlState: "57014" });
    expect(runs).toBe(1);
  });

  it("binds Kysely to the session, and a failing statement is the caller's", async () => {
    await open();
    const typed = subject.database as unknown as import("../src/index.ts").ResilientDatabase<{
      t: { n: number };
    }>;
    const rows = await typed.read((session) => session.kysely.selectFrom("t").select("n").limit(1).execute());
    expect(rows.length).toBe(1);
    await expect(typed.read((session) => session.query("selec"))).rejects.toMatchObject({
      code: "db_query_invalid",
    });
  });
});

describe("createReadSession", () => {
  it("keeps the latest position", () => {
    const session = createReadSession();
    session.noteWrite("0/10");
    session.noteWrite("0/5");
    expect(session.token).toBe("0/10");
    session.noteWrite("1/0");
    expect(session.token).toBe("1/0");
    // A later timeline may begin before the place where the one before it has ended.
    session.noteWrite("0/9@2");
    expect(session.token).toBe("0/9@2");
    session.noteWrite("2/0@1");
    expect(session.token).toBe("0/9@2");
    session.noteWrite("primary");
    session.noteWrite("9/0");
    expect(session.token).toBe("primary");
    expect(createReadSession("0/9@2").token).toBe("0/9@2");
    for (const unreadable of ["0/9@", "0/9@x", "x@1", "@1"])
      expect(createReadSession(unreadable).token).toBe("primary");
  });
});
