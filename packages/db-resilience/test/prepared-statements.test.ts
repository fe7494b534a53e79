import { type PostgresServer, startPostgres } from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createMemoryFenceStore, type DatabaseSession, type FenceStore } from "../src/index.ts";
import { openDatabase, refusedAtOnce, type Subject, timed } from "./support.ts";

let postgres: PostgresServer;
let subject: Subject;
let pid: unknown;
const backend = async () => (await subject.database.query("select pg_backend_pid() as pid")).rows[0];

beforeAll(async () => {
  postgres = await startPostgres();
});
beforeEach(async () => {
  await postgres.query("create table t (n int primary key)");
  subject = openDatabase([postgres], { pool: { size: 1, overflow: 0 } });
  await subject.database.untilReady();
  pid = await backend();
});
afterEach(async () => {
  expect(await backend()).toEqual(pid);
  await subject.database.close({ deadlineMs: 100 });
  await postgres.query("drop table t");
});
afterAll(() => postgres.close());

const all = { name: "all", text: "select * from t order by n" };
const put = { name: "put", text: "insert into t values ($1) returning *" };

/** What makes prepared statements unusable, from outside and from within the session. */
const spoils: Record<string, () => Promise<unknown>> = {
  "ALTER TABLE": () => postgres.query("alter table t add column v text"),
  DEALLOCATE: () => subject.database.query("deallocate all"),
  "DISCARD ALL": () => subject.database.query("discard all"),
};

describe.each(Object.entries(spoils))("a prepared statement after %s", (_, spoil) => {
  it("is prepared anew and sent again, and does what it does once", async () => {
    const { database } = subject;
    await database.query(all);
    await database.query({ ...put, values: [1] });
    await spoil();
    for (const n of [2, 3]) {
      expect((await database.query({ ...put, values: [n] })).rowCount).toBe(1);
      expect((await database.query(all)).rowCount).toBe(n);
    }
    await spoil().catch(() => {});
    expect((await database.query(all)).rows.map(({ n }) => n)).toEqual([1, 2, 3]);
  });

  it("has its transaction repeated as a whole", async () => {
    const { database } = subject;
    await database.query({ ...put, values: [1] });
    await spoil();
    const attempts: number[] = [];
    await database.transaction(async (tx) => {
      attempts.push(tx.attempt);
      await tx.query("insert into t values (2)");
      await tx.query({ ...put, values: [3] });
    });
    expect(attempts).toEqual([1, 2]);
    expect(await postgres.query("select n from t order by n")).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  it("fails a transaction of the caller's own with an error that says that it may be repeated", async () => {
    const { database } = subject;
    await database.query(all);
    await spoil();
    await database.withConnection(async (session) => {
      await session.query("begin");
      const { error } = await timed(() => session.query(all));
      expect(error).toMatchObject({ code: "tx_conflict", class: "tx_retry", retryable: true });
      await session.query("rollback");
      expect((await session.query(all)).rows).toEqual([]);
    });
  });
});

describe("the name of a prepared statement", () => {
  it("is refused at once for another text, and the connection stays", async () => {
    const { database } = subject;
    await database.query(all);
    const outcome = await refusedAtOnce(() => database.query({ name: "all", text: "select 1" }));
    expect(outcome.error).toMatchObject({ code: "db_query_invalid", class: "permanent", retryable: false });
    expect((await database.query(all)).rows).toEqual([]);
    await database.withConnection(async (session) => {
      const texts = ["select 1 as one", "select 2 as two"];
      const both = await Promise.all(texts.map((text) => timed(() => session.query({ name: "both", text }))));
      expect(both.map(({ code }) => code)).toEqual(["ok", "db_query_invalid"]);
    });
  });

  it("is free again where its text could not be prepared", async () => {
    const { database } = subject;
    expect((await timed(() => database.query({ name: "new", text: "selec 1" }))).code).toBe(
      "db_query_invalid",
    );
    expect((await database.query({ name: "new", text: "select 1 as one" })).rows).toEqual([{ one: 1 }]);
  });

  it("is prepared anew where pg took it for prepared after failing to write its values", async () => {
    const { database } = subject;
    const value = () => {};
    value.toString = () => ({ a: 1n }) as never;
    const count = { name: "count", text: "select $1::int as n" };
    expect((await timed(() => database.query({ ...count, values: [value] }))).code).toBe("db_query_invalid");
    expect((await database.query({ ...count, values: [1] })).rows).toEqual([{ n: 1 }]);
  });

  it("has to stand for a text", async () => {
    const outcome = await refusedAtOnce(() => subject.database.query({ name: "none" } as never));
    expect(outcome.code).toBe("db_query_invalid");
  });
});

describe("an error about a prepared statement that another one comes upon", () => {
  it("is not taken for one of its own: what it has done is not done twice", async () => {
    const { database } = subject;
    await postgres.query(`create or replace procedure p() language plpgsql as
      $$ begin insert into t select count(*) from t; commit; execute 'execute gone'; end $$`);
    for (const n of [1, 2]) {
      const { error } = await timed(() => database.query({ name: "p", text: "call p()" }));
      expect(error).toMatchObject({ code: "db_query_invalid", class: "permanent", sqlState: "26000" });
      expect((await postgres.query("select n from t")).length).toBe(n);
    }
  });

  it.each(["execute gone", "explain execute gone", "deallocate gone", "select f()"])(
    "is permanent, and the transaction is not repeated: %s",
    async (text) => {
      const { database } = subject;
      await postgres.query(`create or replace function f() returns void language plpgsql as
        $$ begin execute 'execute gone'; end $$`);
      const call = { name: "e", text };
      await database.query("prepare gone as select 1");
      await database.query(call);
      await database.query("deallocate gone").catch(() => {});
      let attempts = 0;
      const { error } = await timed(() =>
        database.transaction((tx) => {
          attempts++;
          return tx.query(call);
        }),
      );
      expect(error).toMatchObject({ code: "db_query_invalid", class: "permanent", sqlState: "26000" });
      expect(attempts).toBe(1);
    },
  );
});

describe("a prepared statement that is prepared anew again and again", () => {
  const left = async () =>
    (await subject.database.query("select name, statement from pg_prepared_statements")).rows;

  it("leaves nothing behind at the server, and takes nobody's name", async () => {
    const { database } = subject;
    for (let i = 0; i < 5; i++) {
      await database.query(all);
      await postgres.query(`alter table t add column c${i} int`);
      if (i === 2) {
        const failed = timed(() => database.withConnection((session) => inTransaction(session)));
        expect((await failed).code).toBe("tx_conflict");
      }
    }
    await database.query(all);
    expect(await left()).toEqual([{ name: "all", statement: all.text }]);
    for (const name of ["~1", "~2"])
      expect((await database.query({ name, text: `select '${name}' as v` })).rows).toEqual([{ v: name }]);
  });

  it.each(["one", "line\nbreak", "line\r\nbreak\n"])(
    "is known for one also where the server tells its values with errors: %j",
    async (value) => {
      const { database } = subject;
      const name = { name: "name", text: "insert into t select length($1) returning *" };
      await database.query("set log_parameter_max_length_on_error = -1");
      await database.query({ ...name, values: [""] });
      await postgres.query("alter table t add column v text");
      expect((await database.query({ ...name, values: [value] })).rowCount).toBe(1);
      expect(await postgres.query("select n from t order by n")).toEqual([{ n: 0 }, { n: value.length }]);
    },
  );

  async function inTransaction(session: DatabaseSession): Promise<void> {
    await session.query("begin");
    try {
      await session.query(all);
    } finally {
      await session.query("rollback");
    }
  }
});

describe("a prepared statement that is sent again", () => {
  it("needs the admission of its server again", async () => {
    const store = createMemoryFenceStore();
    let answers = Number.POSITIVE_INFINITY;
    const fenceStore: FenceStore = {
      ...store,
      read: async () => {
        const fence = await store.read();
        return fence && answers-- <= 0 ? { ...fence, timeline: fence.timeline + 1 } : fence;
      },
    };
    const options = { pool: { size: 1, overflow: 0 }, fencing: { leaseMs: 0 } };
    const { database } = openDatabase([postgres], options, { fenceStore });
    try {
      await database.untilReady();
      const outcome = await database.withConnection(async (session) => {
        await session.query({ ...put, values: [1] });
        await session.query("deallocate all");
        answers = 1;
        return timed(() => session.query({ ...put, values: [2] }));
      });
      expect(outcome.code).toBe("db_fenced");
      expect(await postgres.query("select n from t")).toEqual([{ n: 1 }]);
    } finally {
      await database.close({ deadlineMs: 100 });
    }
  });
});
