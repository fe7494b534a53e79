import { eventually, type PostgresServer, startPostgres, startPostgresPair } from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { TransactionOutcomeUnknown } from "../src/index.ts";
import { boundsTransaction, commitsByItself, isCommit } from "../src/statement-kind.ts";
import type { FaultProxy } from "../src/testing/index.ts";
import { openDatabase, pooledBackends, proxyOf, running, type Subject, timed } from "./support.ts";

let postgres: PostgresServer;
let proxy: FaultProxy;
let subject: Subject;

beforeAll(async () => {
  postgres = await startPostgres();
  proxy = await proxyOf(postgres);
  await postgres.query("create table t (n int primary key)");
});
afterEach(async () => {
  proxy.heal();
  await subject.database.close({ deadlineMs: 100 });
  await postgres.query("truncate t");
});
afterAll(async () => {
  await proxy.close();
  await postgres.close();
});

const rows = async () =>
  (await postgres.query<{ n: number }>("select n from t order by n")).map(({ n }) => n);
const cutAfter = (pattern: string) => proxy.set({ up: { cutAt: { pattern, position: "after" } } });

describe("an answer that is lost", () => {
  it("to a change outside a transaction leaves its outcome unknown; to a SELECT it does not", async () => {
    subject = openDatabase([proxy]);
    cutAfter("insert into t");
    const written = await timed(() => subject.database.query("insert into t values (1)"));
    expect(written).toMatchObject({ status: 503, code: "outcome_unknown" });
    expect(written.error).toBeInstanceOf(TransactionOutcomeUnknown);
    expect(written.error?.retryable).toBe(false);
    expect(await rows()).toEqual([1]);
    cutAfter("select n");
    const read = await timed(() => subject.database.query("select n from t"));
    expect(read).toMatchObject({ status: 503, code: "db_unavailable", error: { retryable: true } });
  });

  it("to a change that begins like a read leaves its outcome unknown too", async () => {
    subject = openDatabase([proxy]);
    let n = 0;
    for (const [before, after = ""] of [
      ["/* select */ "],
      ["-- select\n"],
      ["explain analyze "],
      ["with w as (", " returning n) select n from w"],
      ["select 1; "],
    ] as const) {
      n++;
      cutAfter(`${before}insert`);
      const text = `${before}insert into t values (${n})${after}`;
      expect([text, (await timed(() => subject.database.query(text))).code]).toEqual([
        text,
        "outcome_unknown",
      ]);
      await eventually(() => subject.database.readiness().state === "ready");
    }
    expect(await rows()).toEqual([1, 2, 3, 4, 5]);
  });

  it("to a COMMIT behind other statements, or a comment, is waited for without cancelling", async () => {
    subject = openDatabase([proxy], { timeouts: { statementMs: 300, statementGraceMs: 100 } });
    for (const [at, last] of ["insert into t values (2); commit", "/* done */ commit"].entries()) {
      await postgres.query("truncate t");
      proxy.set({ up: { cutAt: { pattern: last, position: "after", mode: "blackhole" } } });
      const outcome = await timed(() =>
        subject.database.withConnection(async (session) => {
          await session.query("begin");
          await session.query("insert into t values (1)");
          await session.query(last);
        }),
      );
      expect(outcome).toMatchObject({ status: 503, code: "outcome_unknown" });
      expect(await rows()).toEqual(at === 0 ? [1, 2] : [1]);
      proxy.heal();
      await eventually(() => subject.database.readiness().state === "ready");
    }
    expect(postgres.logs()).not.toMatch(/canceling statement due to user request/);
  });

  it("of what has warnings sent before a change: the change is not sent once it was given up", async () => {
    subject = openDatabase([proxy], { pool: { size: 1, overflow: 0 } });
    let pid = 0;
    const outcome = await subject.database.withConnection(async (session) => {
      pid = session.backendPid;
      await session.query("set client_min_messages = error");
      // The answer comes once the caller has heard, while the cancel request is under way.
      proxy.set({ down: { blackhole: true }, connect: "hang" });
      const change = timed(() => session.query("insert into t values (1)", [], { timeoutMs: 100 }));
      await change;
      proxy.set({ down: { blackhole: false } });
      return change;
    });
    expect(outcome.code).toBe("outcome_unknown");
    await eventually(async () => !(await pooledBackends(postgres)).includes(pid));
    expect(await rows()).toEqual([]);
  });

  it("is asked for again where its caller says that repeating is harmless", async () => {
    subject = openDatabase([proxy]);
    cutAfter("insert into t");
    const insert = "insert into t values (1) on conflict do nothing";
    const { rowCount } = await subject.database.query(insert, [], { idempotent: true });
    expect(rowCount).toBe(0);
    expect(await rows()).toEqual([1]);
  });

  it("to a COMMIT that the caller has written himself leaves its outcome unknown, and is not cancelled", async () => {
    subject = openDatabase([proxy], { timeouts: { statementMs: 300, statementGraceMs: 100 } });
    proxy.set({ up: { cutAt: { pattern: "commit", position: "after", mode: "blackhole" } } });
    const outcome = await timed(() =>
      subject.database.withConnection(async (session) => {
        await session.query("begin");
        await session.query("insert into t values (1)");
        await session.query("commit");
      }),
    );
    expect(outcome).toMatchObject({ status: 503, code: "outcome_unknown" });
    expect(await rows()).toEqual([1]);
    expect(postgres.logs()).not.toMatch(/canceling statement due to user request/);
  });

  it("is not looked for beyond the deadline of the whole, nor when its caller has gone", async () => {
    subject = openDatabase([proxy], { timeouts: { statementMs: 500, statementGraceMs: 100 } });
    await subject.database.transaction((tx) => tx.query("select 1"), { settle: true });
    const controller = new AbortController();
    for (const limits of [{ deadlineMs: 600 }, { signal: controller.signal }]) {
      const outcome = await timed(() =>
        subject.database.transaction(
          async (tx) => {
            await tx.query("insert into t values (1)");
            // Nobody can be asked afterwards.
            proxy.set({ connect: "hang", up: { cutAt: { pattern: "commit", position: "before" } } });
            if ("signal" in limits) setTimeout(() => controller.abort(), 300);
          },
          { settle: true, ...limits },
        ),
      );
      expect(outcome).toMatchObject({ code: "outcome_unknown" });
      expect(outcome.ms).toBeLessThan(5_000);
      proxy.heal();
      await eventually(() => subject.database.readiness().state === "ready");
    }
    expect(await rows()).toEqual([]);
  });

  it("that lies in the socket of a process that was stopped or busy is no lost one", async () => {
    subject = openDatabase([postgres], { timeouts: { statementMs: 2_000, statementGraceMs: 100 } });
    const slow = timed(() => subject.database.query("select pg_sleep(1)"));
    await running(postgres, "select pg_sleep(1)");
    // The statement's deadline passes while nothing can be read.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_500);
    expect(await slow).toMatchObject({ status: 200 });
    expect(subject.database.readiness().state).toBe("ready");
    expect(subject.events.filter(({ type }) => type === "db_generation")).toEqual([]);
  });
});

describe("a standby that does not confirm", () => {
  it("TX-03 leaves a change outside a transaction unknown, and is waited for where an outcome is settled", async () => {
    await using pair = await startPostgresPair({ synchronous: true });
    await pair.primary.query("create table t (n int)");
    await using line = await proxyOf(pair.primary);
    subject = openDatabase([line], { timeouts: { statementMs: 700 } });
    await subject.database.transaction((tx) => tx.query("select 1"), { settle: true });
    pair.standby.pause();
    const alone = await timed(() => subject.database.query("insert into t values (1)"));
    expect(alone).toMatchObject({ status: 503, code: "outcome_unknown" });
    // Done by this server, and not heard of; while no standby has it, it does not count as committed.
    line.set({ up: { cutAt: { pattern: "commit", position: "after" } } });
    let settled = false;
    const settling = timed(() =>
      subject.database.transaction((tx) => tx.query("insert into t values (2)"), { settle: true }),
    ).finally(() => {
      settled = true;
    });
    await eventually(async () => (await pair.primary.query("select 1 from t where n = 2")).length === 1, {
      timeoutMs: 5_000,
    });
    await running(pair.primary, "update gatewright_tx%");
    expect(settled).toBe(false);
    pair.standby.resume();
    expect(await settling).toMatchObject({ status: 200 });
    expect(await pair.primary.query("select n from t order by n")).toEqual([{ n: 1 }, { n: 2 }]);
  });
});

describe("the kind of a statement", () => {
  it.each([
    ["select 1", false],
    [" (SELECT 1) union select 2", false],
    ["with w as (select 1) select * from w", false],
    ["with w as (insert into t values (1) returning n) select * from w", true],
    ["\n  INSERT into t values (1)", true],
    ["update t set n = 1", true],
    ["call p()", true],
    ["begin", false],
    ["set local x = 1", false],
    ["vacuum", true],
    ["/* a /* nested */ comment */ select 1", false],
    ["/* select */ insert into t values (1)", true],
    ["-- select\ninsert into t values (1)", true],
    ["-- reads\n (select 1)", false],
    ["((with w as (insert into t values (1) returning n) select * from w))", true],
    ["(with w as (select 1) select * from w)", false],
    ["explain select 1", false],
    ["explain insert into t values (1)", false],
    ["explain analyze select 1", false],
    ["explain analyze insert into t values (1)", true],
    ["explain (analyse, buffers) with w as (delete from t returning n) select * from w", true],
    ["explain analyze create table c as select 1", true],
    ["select 1 as n into c", true],
    ["select 1; insert into t values (1)", true],
    ["select 1; select 2", true],
    ["begin; insert into t values (1); commit", true],
    ["select 1;", false],
    ["select ';' as a, $$;$$ as b, $q$;$q$ as c, \"x;y\" from d -- ;", false],
    ["select E'\\';' as a", false],
    ["select 'c:\\' as a; insert into t values ('')", true],
    ["select 'never ended; insert", true],
    ["select 1 /* never ended", true],
    ["select n from t for update", false],
    ["copy t to stdout", false],
    ['COPY "to a"."t" (n, m) TO STDOUT with (format csv)', false],
    ["copy (select (1)) to stdout", false],
    ["copy (delete from t returning n) to stdout", true],
    ["copy t to program 'cat'", true],
    ["copy t from stdin where v = 'to stdout'", true],
  ])("%s: changes something by itself: %s", (text, changes) => {
    expect(commitsByItself(text)).toBe(changes);
  });

  it("is read in a time that grows with the text, whatever white space is in it", () => {
    const blanks = " ".repeat(100_000);
    const before = process.cpuUsage();
    for (const text of ["copy", "copy a", "copy a(b)", "copy (a)", "copy a to"])
      expect(commitsByItself(`${text}${blanks}x`)).toBe(true);
    expect(commitsByItself(`copy${blanks}a${blanks}(b)${blanks}to${blanks}stdout`)).toBe(false);
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1_000_000).toBeLessThan(2);
  });

  it.each([
    ["commit", true],
    ["  COMMIT and chain", true],
    ["end", true],
    ["endless", false],
    ["commit prepared 'x'", true],
    ["rollback", false],
    ["/* done */ commit", true],
    ["insert into t values (1); commit", true],
    ["select 'commit; commit'", false],
    ["prepare transaction 'x'", true],
  ])("%s: is a COMMIT: %s", (text, is) => {
    expect(isCommit(text)).toBe(is);
  });

  it.each([
    ["begin isolation level serializable", true],
    ["START  TRANSACTION", true],
    ["commit", true],
    ["rollback", true],
    ["rollback work", true],
    ["rollback to savepoint a", false],
    ["ROLLBACK TRANSACTION TO a", false],
    ["savepoint a", false],
    ["select 1", false],
    ["-- now\nbegin", true],
    ["insert into t values (1); rollback", true],
  ])("%s: begins or ends a transaction: %s", (text, bounds) => {
    expect(boundsTransaction(text)).toBe(bounds);
  });
});
