import { eventually, type PostgresServer, startPostgres } from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { DatabaseError, TransactionOutcomeUnknown } from "../src/index.ts";
import type { FaultProxy } from "../src/testing/index.ts";
import { expectAtRest, openDatabase, proxyOf, running, type Subject, timed } from "./support.ts";

let postgres: PostgresServer;
let proxy: FaultProxy;
let subject: Subject;

beforeAll(async () => {
  postgres = await startPostgres({ settings: { deadlock_timeout: "100ms" } });
  proxy = await proxyOf(postgres);
  await postgres.query("create table t (n int primary key, v int not null default 0)");
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

const rows = () => postgres.query<{ n: number; v: number }>("select n, v from t order by n");

describe("transactions", () => {
  it("TX-01 opposed updates: one is aborted and repeated, both succeed, as if one after the other", async () => {
    subject = openDatabase([postgres]);
    const { database } = subject;
    await postgres.query("insert into t values (1, 0), (2, 0)");
    let bothHaveOne: () => void = () => {};
    const ready = new Promise<void>((resolve) => {
      bothHaveOne = resolve;
    });
    let holding = 0;
    const update = (first: number, second: number) =>
      timed(() =>
        database.transaction(async (tx) => {
          await tx.query("update t set v = v + 1 where n = $1", [first]);
          if (++holding === 2) bothHaveOne();
          if (tx.attempt === 1) await ready;
          await tx.query("update t set v = v * 2 where n = $1", [second]);
        }),
      );
    const outcomes = await Promise.all([update(1, 2), update(2, 1)]);
    expect(outcomes.map(({ status }) => status)).toEqual([200, 200]);
    expect(subject.events.filter(({ type }) => type === "db_deadlock").length).toBe(1);
    expect(subject.events.filter(({ type }) => type === "db_transaction_retry").length).toBe(1);
    // One after the other: (0+1)*2 and 0*2+1 in either order.
    const [one, two] = await rows();
    expect([`${one?.v},${two?.v}`]).toContainEqual(expect.stringMatching(/^(2,1|1,2)$/));
    await expectAtRest(subject, postgres);
  });

  it("TX-01 serialization failures are repeated within retries and budget, then reported", async () => {
    subject = openDatabase([postgres], { transactions: { retries: 2, baseDelayMs: 1 } });
    let attempts = 0;
    const outcome = await timed(() =>
      subject.database.transaction(async (tx) => {
        attempts++;
        await tx.query("do $$ begin raise exception 'conflict' using errcode = '40001'; end $$");
      }),
    );
    expect(attempts).toBe(3);
    expect(outcome).toMatchObject({ status: 503, code: "tx_conflict" });

    await subject.database.close();
    subject = openDatabase([postgres], { transactions: { baseDelayMs: 1, budgetRatio: 0 } });
    let total = 0;
    const many = Array.from({ length: 15 }, () =>
      timed(() =>
        subject.database.transaction(async (tx) => {
          total++;
          await tx.query("do $$ begin raise exception 'conflict' using errcode = '40001'; end $$");
        }),
      ),
    );
    await Promise.all(many);
    expect(total).toBe(15 + 20);
  });

  it("TX-01 a lock that is not available counts as a conflict only on request", async () => {
    subject = openDatabase([postgres], { timeouts: { lockMs: 100 } });
    await postgres.query("insert into t values (1, 0)");
    const holder = await postgres.client();
    await holder.query("begin; update t set v = 1");
    let attempts = 0;
    const update = (retryLockTimeout: boolean) =>
      timed(() =>
        subject.database.transaction(
          async (tx) => {
            attempts++;
            if (attempts === 3) await holder.query("rollback");
            await tx.query("update t set v = v + 10");
          },
          { retryLockTimeout },
        ),
      );
    expect(await update(false)).toMatchObject({ status: 503, code: "db_timeout" });
    expect(await update(true)).toMatchObject({ status: 200 });
    expect(attempts).toBe(3);
    await holder.end();
  });

  it("TX-02 a statement over its timeout: db_timeout, locks free at once, next call served", async () => {
    subject = openDatabase([postgres], { timeouts: { statementMs: 300 }, pool: { size: 1, overflow: 0 } });
    await postgres.query("insert into t values (1, 0)");
    const outcome = await timed(() =>
      subject.database.transaction(async (tx) => {
        await tx.query("update t set v = 1 where n = 1");
        await tx.query("select pg_sleep(20)");
      }),
    );
    expect(outcome).toMatchObject({ status: 503, code: "db_timeout" });
    const start = performance.now();
    await postgres.query("update t set v = 2 where n = 1");
    expect(performance.now() - start).toBeLessThan(5_000);
    expect(await timed(() => subject.database.query("select 1"))).toMatchObject({ status: 200 });
    await expectAtRest(subject, postgres);
  });

  it("TX-02 a transaction over its deadline, or aborted by its caller, is rolled back and its connection given up", async () => {
    subject = openDatabase([postgres], { timeouts: { transactionMs: 300 } });
    const never = () => new Promise<void>(() => {});
    const slow = await timed(() =>
      subject.database.transaction(async (tx) => {
        await tx.query("insert into t values (1)");
        await never();
      }),
    );
    expect(slow).toMatchObject({
      status: 503,
      code: "db_timeout",
      error: { details: { deadline: "transaction" } },
    });
    const controller = new AbortController();
    const stopped = timed(() =>
      subject.database.transaction(
        async (tx) => {
          await tx.query("insert into t values (2)");
          controller.abort();
          await never();
        },
        { signal: controller.signal },
      ),
    );
    expect(await stopped).toMatchObject({ code: "db_aborted" });
    await eventually(
      async () =>
        (
          await postgres.query(
            "select 1 from pg_locks where relation = 't'::regclass and pid <> pg_backend_pid()",
          )
        ).length === 0,
    );
    expect(await rows()).toEqual([]);
    await expectAtRest(subject, postgres);
  });

  it("TX-03 a reset or a blackhole between two writes leaves nothing behind", async () => {
    subject = openDatabase([proxy], { timeouts: { statementMs: 300, statementGraceMs: 100 } });
    for (const [index, fault] of [
      () => proxy.resetConnections(),
      () => void proxy.set({ both: { blackhole: true } }),
    ].entries()) {
      const outcome = await timed(() =>
        subject.database.transaction(async (tx) => {
          await tx.query("insert into t values ($1)", [index * 10]);
          fault();
          await tx.query("insert into t values ($1)", [index * 10 + 1]);
        }),
      );
      expect(outcome.status).toBe(503);
      expect(["db_unavailable", "db_timeout"]).toContain(outcome.code);
      proxy.heal();
      await eventually(async () => (await timed(() => subject.database.query("select 1"))).status === 200);
    }
    expect(await rows()).toEqual([]);
  });

  it("TX-03 before COMMIT the whole is repeated if the caller allows it", async () => {
    subject = openDatabase([proxy]);
    const outcome = await timed(() =>
      subject.database.transaction(
        async (tx) => {
          await tx.query("insert into t values (1)");
          if (tx.attempt === 1) proxy.resetConnections();
          await tx.query("insert into t values (2)");
        },
        { idempotencyKey: "order-1" },
      ),
    );
    expect(outcome.status).toBe(200);
    expect((await rows()).map(({ n }) => n)).toEqual([1, 2]);
  });

  it("TX-03 loss at COMMIT is an unknown outcome and is not repeated", async () => {
    subject = openDatabase([proxy]);
    for (const position of ["before", "after"] as const) {
      let attempts = 0;
      proxy.set({ up: { cutAt: { pattern: "commit", position } } });
      const outcome = await timed(() =>
        subject.database.transaction(async (tx) => {
          attempts++;
          await tx.query("insert into t values ($1)", [position === "before" ? 1 : 2]);
        }),
      );
      expect(outcome).toMatchObject({ status: 503, code: "outcome_unknown" });
      expect(outcome.error).toBeInstanceOf(TransactionOutcomeUnknown);
      expect(outcome.error?.retryable).toBe(false);
      expect(attempts).toBe(1);
      await eventually(() => subject.database.readiness().state === "ready");
    }
    await eventually(async () => (await rows()).length === 1);
    expect((await rows()).map(({ n }) => n)).toEqual([2]);
  });

  it("TX-03 settle finds out how a lost COMMIT ended: committed is a success, absent is repeated, never doubled", async () => {
    subject = openDatabase([proxy], { timeouts: { statementMs: 500, statementGraceMs: 100 } });
    await subject.database.transaction((tx) => tx.query("select 1"), { settle: true });
    let n = 0;
    for (const position of ["before", "after"] as const) {
      for (const mode of ["rst", "fin", "blackhole"] as const) {
        n++;
        let attempts = 0;
        proxy.set({ up: { cutAt: { pattern: "commit", position, mode } } });
        const result = await subject.database.transaction(
          async (tx) => {
            attempts++;
            await tx.query("insert into t values ($1)", [n]);
            return `done ${n}`;
          },
          { settle: true },
        );
        expect(result).toBe(`done ${n}`);
        expect([position, mode, attempts]).toEqual([position, mode, position === "before" ? 2 : 1]);
      }
    }
    expect((await rows()).map((row) => row.n)).toEqual([1, 2, 3, 4, 5, 6]);
    const settled = subject.events.flatMap((event) =>
      event.type === "db_outcome_unknown" ? [event.settled] : [],
    );
    expect(settled).toEqual(["aborted", "aborted", "aborted", "committed", "committed", "committed"]);
  });

  it("TX-03 an idempotency key lets a lost COMMIT be repeated", async () => {
    subject = openDatabase([proxy]);
    proxy.set({ up: { cutAt: { pattern: "commit", position: "after" } } });
    let attempts = 0;
    await subject.database.transaction(
      async (tx) => {
        attempts++;
        await tx.query("insert into t values (1) on conflict do nothing");
      },
      { idempotencyKey: "once" },
    );
    expect(attempts).toBe(2);
    expect((await rows()).length).toBe(1);
  });

  it("TX-03 COMMIT is never cancelled: at its deadline the connection is destroyed and the outcome unknown", async () => {
    subject = openDatabase([proxy], { timeouts: { statementMs: 300, statementGraceMs: 100 } });
    proxy.set({ up: { cutAt: { pattern: "commit", position: "after", mode: "blackhole" } } });
    const outcome = await timed(() =>
      subject.database.transaction((tx) => tx.query("insert into t values (1)")),
    );
    expect(outcome).toMatchObject({ code: "outcome_unknown" });
    expect(outcome.ms).toBeGreaterThan(350);
    expect((await rows()).length).toBe(1);
    // Statements of the tests before may have been.
    expect(postgres.logs()).not.toMatch(/canceling statement due to user request\s+STATEMENT:\s+commit/i);
  });

  it("passes errors of the caller's own code through after a rollback, and runs with the isolation asked for", async () => {
    subject = openDatabase([postgres]);
    const mine = new Error("mine");
    await expect(
      subject.database.transaction(async (tx) => {
        await tx.query("insert into t values (1)");
        throw mine;
      }),
    ).rejects.toBe(mine);
    expect(await rows()).toEqual([]);
    const shown = await subject.database.transaction(
      async (tx) =>
        (
          await tx.query(
            "select current_setting('transaction_isolation') as i, current_setting('transaction_read_only') as r",
          )
        ).rows,
      { isolation: "serializable", readOnly: true },
    );
    expect(shown).toEqual([{ i: "serializable", r: "on" }]);
    const kysely = subject.database.transaction((tx) => tx.kysely.transaction().execute(async () => {}));
    await expect(kysely).rejects.toBeInstanceOf(DatabaseError);
    expect((await timed(() => subject.database.query("select 1"))).status).toBe(200);
  });

  it("a write in a transaction that was begun as read-only is the caller's fault, not the server's", async () => {
    const typed = openDatabase<{ t: { n: number } }>([postgres], { pool: { size: 1, overflow: 0 } });
    subject = typed as Subject;
    const { database } = typed;
    const pid = () => database.withConnection(async ({ backendPid }) => backendPid);
    const before = await pid();
    let runs = 0;
    for (const write of [
      () =>
        database.transaction(
          (tx) => {
            runs++;
            return tx.query("insert into t values (1)");
          },
          { readOnly: true },
        ),
      () =>
        database.kysely
          .transaction()
          .setAccessMode("read only")
          .execute((tx) => tx.insertInto("t").values({ n: 1 }).execute()),
      () =>
        database.withConnection(async (session) => {
          await session.query("begin");
          await session.query("set transaction read only");
          await session.query("insert into t values (1)").finally(() => session.query("rollback"));
        }),
    ]) {
      const outcome = await timed(write);
      expect([String(write), outcome.status]).toEqual([String(write), 500]);
      expect(outcome.error).toMatchObject({
        code: "db_query_invalid",
        sqlState: "25006",
        retryable: false,
      });
    }
    expect(runs).toBe(1);
    expect(await pid()).toBe(before);
    expect(subject.events.filter(({ type }) => type === "db_transaction_retry")).toEqual([]);
    // What is forgotten with the transaction: the next one writes.
    expect((await timed(() => database.query("insert into t values (1)"))).status).toBe(200);
  });

  it("TX-03 the deadline of the whole bounds COMMIT too, but for a grace, and what comes before BEGIN", async () => {
    subject = openDatabase([proxy], { pool: { validateIdleAfterMs: 60_000 } });
    await timed(() => subject.database.query("select 1"));
    proxy.set({ up: { cutAt: { pattern: "commit", position: "after", mode: "blackhole" } } });
    const outcome = await timed(() =>
      subject.database.transaction((tx) => tx.query("insert into t values (1)"), { deadlineMs: 1_500 }),
    );
    expect(outcome).toMatchObject({ code: "outcome_unknown" });
    // The grace is timeouts.statementGraceMs, 250 ms.
    expect(outcome.ms).toBeGreaterThan(1_600);
    expect(outcome.ms).toBeLessThan(4_500);
    proxy.heal();
    await eventually(() => subject.database.readiness().state === "ready");

    await timed(() => subject.database.query("select 1"));
    proxy.set({ both: { blackhole: true } });
    const unprepared = await timed(() =>
      subject.database.transaction((tx) => tx.query("select 1"), { settle: true, deadlineMs: 400 }),
    );
    expect(unprepared.status).toBe(503);
    expect(unprepared.ms).toBeLessThan(5 * 400);
  });

  it("keeps to the deadline of the whole", async () => {
    subject = openDatabase([postgres], { transactions: { baseDelayMs: 200, maxDelayMs: 10_000 } });
    const outcome = await timed(() =>
      subject.database.transaction((tx) => tx.query("select pg_sleep(20)"), { deadlineMs: 300 }),
    );
    expect(outcome).toMatchObject({ code: "db_timeout" });
    expect(outcome.ms).toBeLessThan(4_000);
    await running(postgres, "select pg_sleep(20)", 0);
  });
});
