import { eventually, type PostgresServer, startPostgres } from "@gatewright/testkit";
import { Client, types } from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createMemoryFenceStore, type FenceStore } from "../src/index.ts";
import type { FaultProxy } from "../src/testing/index.ts";
import { openDatabase, proxyOf, running, type Subject, timed } from "./support.ts";

let postgres: PostgresServer;
let proxy: FaultProxy;
let subject: Subject;
const rows = async () =>
  (await postgres.query<{ n: number }>("select n from t order by n")).map(({ n }) => n);
const waitForLock = "select pg_advisory_xact_lock(7)";
/** Holds up {@link waitForLock} until the returned function is called. */
async function lock(): Promise<() => Promise<void>> {
  const holder = new Client({ connectionString: postgres.url });
  await holder.connect();
  await holder.query("select pg_advisory_lock(7)");
  return () => holder.end();
}
function abortable() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}
const backend = async () => (await subject.database.query("select pg_backend_pid() as pid")).rows[0];

beforeAll(async () => {
  postgres = await startPostgres();
  proxy = await proxyOf(postgres);
  await postgres.query("create table t (n int primary key)");
  subject = openDatabase([proxy], { pool: { size: 1, overflow: 0 }, timeouts: { statementMs: 60_000 } });
});
afterEach(async () => {
  proxy.heal();
  await eventually(() => subject.database.readiness().state === "ready");
  await postgres.query("truncate t");
});
afterAll(async () => {
  await subject.database.close({ deadlineMs: 100 });
  await proxy.close();
  await postgres.close();
});

describe("statements of one session that are asked for at once", () => {
  it("count as what they are when their turn comes: a change after a COMMIT may have taken effect", async () => {
    proxy.set({ up: { cutAt: { pattern: "insert into t values (2)", position: "after" } } });
    const outcomes = await subject.database.withConnection(async (session) => {
      await session.query("begin");
      await session.query("insert into t values (1)");
      return Promise.all(
        ["commit", "insert into t values (2)"].map((text) => timed(() => session.query(text))),
      );
    });
    expect(outcomes.map(({ code }) => code)).toEqual(["ok", "outcome_unknown"]);
    await eventually(async () => (await rows()).length === 2);
  });

  it("are not sent after a BEGIN that failed", async () => {
    const outcomes = await subject.database.withConnection((session) =>
      Promise.all(
        ["begin isolation level none", "insert into t values (1)"].map((text) =>
          timed(() => session.query(text)),
        ),
      ),
    );
    expect(outcomes.map(({ code }) => code)).toEqual(["db_query_invalid", "db_unavailable"]);
    expect(await rows()).toEqual([]);
  });

  it("are not sent after one whose deadline has passed", async () => {
    const outcomes = await subject.database.withConnection((session) =>
      Promise.all([
        timed(() => session.query("select pg_sleep(30)", [], { timeoutMs: 100 })),
        ...[1, 2].map((n) => timed(() => session.query("insert into t values ($1)", [n]))),
      ]),
    );
    expect(outcomes.map(({ code }) => code)).toEqual(["db_timeout", "db_unavailable", "db_unavailable"]);
    const asleep =
      "select 1 from pg_stat_activity where state = 'active' and query like '%(30)%' and pid <> pg_backend_pid()";
    await eventually(async () => (await postgres.query(asleep)).length === 0);
    expect(await rows()).toEqual([]);
  });

  it("leave the connection alone when they are given up before their turn", async () => {
    const before = await backend();
    const { signal, abort } = abortable();
    const outcomes = await subject.database.withConnection(async (session) => {
      const unlock = await lock();
      const slow = timed(() => session.query(waitForLock));
      const late = timed(() => session.query("insert into t values (1)", [], { timeoutMs: 50 }));
      const gone = timed(() => session.query("insert into t values (2)", [], { signal }));
      abort();
      await Promise.all([late, gone]);
      await unlock();
      return Promise.all([slow, late, gone]);
    });
    expect(outcomes.map(({ code }) => code)).toEqual(["ok", "db_timeout", "db_aborted"]);
    expect(await backend()).toEqual(before);
    expect(await rows()).toEqual([]);
  });

  it.each([
    ["select 1", "begin"],
    ["begin", "rollback"],
    ["begin", "commit"],
  ])("after %s are not sent behind a %s that was given up before its turn", async (first, bound) => {
    for (const how of ["db_timeout", "db_aborted", "db_aborted before the call"]) {
      const { signal, abort } = abortable();
      if (how === "db_aborted before the call") abort();
      const outcomes = await subject.database.withConnection(async (session) => {
        await session.query(first);
        const unlock = await lock();
        const slow = timed(() => session.query(waitForLock));
        const given = timed(() =>
          session.query(bound, [], how === "db_timeout" ? { timeoutMs: 50 } : { signal }),
        );
        const others = ["insert into t values (1)", "commit"].map((text) => timed(() => session.query(text)));
        abort();
        await given;
        await unlock();
        return Promise.all([slow, given, ...others]);
      });
      const [code] = how.split(" ");
      expect([how, ...outcomes.map((outcome) => outcome.code)]).toEqual([
        ...[how, "ok", code, "db_unavailable", "db_unavailable"],
      ]);
      expect(await rows()).toEqual([]);
    }
  });

  it.each(["given up before its turn", "aborted before its turn", "aborted before the call"])(
    "are not committed without one of their transaction that was %s",
    async (how) => {
      const { signal, abort } = abortable();
      if (how === "aborted before the call") abort();
      const limit = how === "given up before its turn" ? { timeoutMs: 50 } : { signal };
      let outcomes: string[] = [];
      const whole = timed(() =>
        subject.database.transaction(async (tx) => {
          const unlock = await lock();
          const slow = timed(() => tx.query(`insert into t select 1 from (${waitForLock}) l`));
          const given = timed(() => tx.query("insert into t values (2)", [], limit));
          const other = timed(() => tx.query("insert into t values (3)"));
          abort();
          await given;
          await unlock();
          outcomes = (await Promise.all([slow, given, other])).map(({ code }) => code);
        }),
      );
      expect((await whole).code).toBe("db_unavailable");
      expect(outcomes[0]).toBe("ok");
      expect(outcomes[1]).toBe("timeoutMs" in limit ? "db_timeout" : "db_aborted");
      expect(await rows()).toEqual([]);
    },
  );

  it("are not committed without one behind a BEGIN that waits itself, nor without one refused at its turn", async () => {
    for (const how of ["db_timeout", "db_aborted", "db_query_invalid"]) {
      const { signal, abort } = abortable();
      const outcomes = await subject.database.withConnection(async (session) => {
        await session.query({ name: "two", text: "select 2" });
        const unlock = await lock();
        const ask = (text: string) => timed(() => session.query(text));
        const before = [ask(waitForLock), ask("begin"), ask("insert into t values (1)")];
        const given = timed(() =>
          how === "db_query_invalid"
            ? session.query({ name: "two", text: "insert into t values (2)" })
            : session.query(
                "insert into t values (2)",
                [],
                how === "db_timeout" ? { timeoutMs: 50 } : { signal },
              ),
        );
        const behind = [ask("insert into t values (3)"), ask("commit")];
        abort();
        if (how !== "db_query_invalid") await given;
        await unlock();
        return Promise.all([...before, given, ...behind]);
      });
      const codes = outcomes.map(({ code }) => code);
      expect([how, codes[0], ...codes.slice(3)]).toEqual([
        how,
        "ok",
        how,
        "db_unavailable",
        "db_unavailable",
      ]);
      expect(await rows()).toEqual([]);
    }
  });

  it("are not committed without one that its server's admission was refused to at its turn", async () => {
    const store = createMemoryFenceStore();
    let held: Promise<void> | undefined;
    const fenceStore: FenceStore = { ...store, read: () => Promise.resolve(held).then(() => store.read()) };
    const options = { pool: { size: 1, overflow: 0, acquireTimeoutMs: 200 }, fencing: { leaseMs: 0 } };
    const { database } = openDatabase([postgres], options, { fenceStore });
    let answer = () => {};
    let outcomes: string[] = [];
    try {
      await database.untilReady();
      const whole = timed(() =>
        database.transaction(async (tx) => {
          const unlock = await lock();
          const texts = [`select 1 from (${waitForLock}) l`, "values (2)", "values (3)"];
          const all = texts.map((text) => timed(() => tx.query(`insert into t ${text}`)));
          await running(postgres, "insert into t select 1%");
          held = new Promise((resolve) => {
            answer = resolve;
          });
          await unlock();
          await all[1];
          answer();
          outcomes = (await Promise.all(all)).map(({ code }) => code);
        }),
      );
      expect((await whole).code).toBe("db_unavailable");
      expect(outcomes).toEqual(["ok", "db_unavailable", "db_unavailable"]);
      expect(await rows()).toEqual([]);
    } finally {
      answer();
      await database.close({ deadlineMs: 100 });
    }
  });

  it("fail one after the other, however many they are", async () => {
    const outcomes = await subject.database.withConnection(async (session) => {
      await session.query({ name: "one", text: "select 1" });
      const clash = { name: "one", text: "select 2" };
      return Promise.all([
        session.query("select 1"),
        ...Array.from({ length: 5_000 }, () => session.query(clash).catch(({ code }) => code)),
        session.query("select 1"),
      ]);
    });
    expect(new Set(outcomes.slice(1, -1))).toEqual(new Set(["db_query_invalid"]));
  });

  it("all end with the connection, and those not sent have done nothing", async () => {
    const ended = subject.database.withConnection((session) =>
      Promise.all([
        timed(() => session.query("select pg_sleep(31)")),
        ...Array.from({ length: 300 }, (_, n) =>
          timed(() => session.query("insert into t values ($1)", [n])),
        ),
      ]),
    );
    await running(postgres, "%pg_sleep(31)%");
    proxy.resetConnections();
    expect(new Set((await ended).map(({ code }) => code))).toEqual(new Set(["db_unavailable"]));
    expect(await rows()).toEqual([]);
  });
});

describe("an answer that pg cannot read", () => {
  it("leaves the outcome of a change unknown, since it has been made, and fails a question", async () => {
    const uuid = 2950;
    const before = await backend();
    types.setTypeParser(uuid, () => {
      throw new Error("unreadable");
    });
    try {
      const change = "insert into t values (1) returning gen_random_uuid()";
      expect((await timed(() => subject.database.query(change))).code).toBe("outcome_unknown");
      expect(await rows()).toEqual([1]);
      const question = await timed(() => subject.database.query("select gen_random_uuid()"));
      expect(question.error).toMatchObject({ code: "db_query_invalid", cause: { message: "unreadable" } });
    } finally {
      types.setTypeParser(uuid, (text: string) => text);
    }
    expect(await backend()).toEqual(before);
  });
});

describe("COPY", () => {
  it("from or to the client is refused, since pg would throw the data away, and the connection stays", async () => {
    const before = await backend();
    await postgres.query("insert into t values (1)");
    for (const text of ["copy t from stdin", "copy t to stdout"]) {
      const { error } = await timed(() => subject.database.query(text));
      expect(error).toMatchObject({ code: "db_query_invalid", class: "permanent", retryable: false });
    }
    expect(await backend()).toEqual(before);
  });

  it("that goes with a change leaves its outcome unknown, since the change has been made", async () => {
    for (const text of [
      "copy (insert into t values (1) returning n) to stdout",
      "insert into t values (2); copy t to stdout",
      "copy t to stdout; insert into t values (3)",
    ])
      expect((await timed(() => subject.database.query(text))).code).toBe("outcome_unknown");
    expect(await rows()).toEqual([1, 2, 3]);
    // What comes to nothing with it was not made.
    const undone = "insert into t values (4); copy t from stdin";
    expect((await timed(() => subject.database.query(undone))).code).toBe("db_query_invalid");
    await subject.database.withConnection(async (session) => {
      await session.query("begin");
      const inside = "copy (insert into t values (5) returning n) to stdout";
      expect((await timed(() => session.query(inside))).code).toBe("db_query_invalid");
      await session.query("rollback");
    });
    expect(await rows()).toEqual([1, 2, 3]);
  });
});
