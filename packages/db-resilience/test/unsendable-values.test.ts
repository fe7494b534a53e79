import { type PostgresServer, startPostgres } from "@gatewright/testkit";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { openDatabase, type Subject, timed } from "./support.ts";

interface Tables {
  t: { n: number; v: unknown };
}

const cycle: Record<string, unknown> = {};
cycle["itself"] = cycle;
/** Errors of the caller that look like one of the server's or of a socket are the caller's all the same. */
const failing = (code: string) => {
  throw Object.assign(new Error("of the caller"), { code });
};

const unsendable: Record<string, unknown> = {
  "a cycle in JSON": cycle,
  "a BigInt in JSON": { a: 1n },
  "a toJSON that throws a conflict": { toJSON: () => failing("40001") },
  "a toPostgres that throws a lost connection": { toPostgres: () => failing("ECONNRESET") },
  "a getter that throws a full server": {
    get a() {
      return failing("53300");
    },
  },
  "an array with such a value": ["a", [1, { a: 1n }]],
  "a date that throws": Object.assign(new Date(), { getTimezoneOffset: () => failing("08006") }),
};

let postgres: PostgresServer;
let subject: Subject<Tables>;
let pid: unknown;
const backend = async () => (await subject.database.query("select pg_backend_pid() as pid")).rows[0];
const rows = () => postgres.query("select n from t order by n");

beforeAll(async () => {
  postgres = await startPostgres();
  await postgres.query("create table t (n int primary key, v jsonb)");
  subject = openDatabase<Tables>([postgres], { pool: { size: 1, overflow: 0 } });
  await subject.database.untilReady();
  pid = await backend();
});
afterEach(async () => {
  expect(await backend()).toEqual(pid);
  await postgres.query("truncate t");
});
afterAll(async () => {
  await subject.database.close({ deadlineMs: 100 });
  await postgres.close();
});

/** A permanent error with the caller's own as its cause; nothing was sent, so nothing is retried and nothing is there. */
async function expectRefused(call: () => Promise<unknown>, found: readonly unknown[] = []): Promise<void> {
  const { error } = await timed(call);
  expect(error).toMatchObject({
    code: "db_query_invalid",
    class: "permanent",
    retryable: false,
    httpStatus: 500,
  });
  expect(error?.cause).toMatchObject({ message: expect.stringMatching(/circular|BigInt|of the caller/) });
  expect(await rows()).toEqual(found);
}

describe.each(Object.entries(unsendable))("a statement with %s is refused", (title, value) => {
  const insert = "insert into t values ($1, $2)";

  it("by query(), with and without a name", async () => {
    const { database } = subject;
    await expectRefused(() => database.query(insert, [1, value]));
    const named = { name: `put ${title}`, text: insert };
    await expectRefused(() => database.query({ ...named, values: [1, value] }));
    await database.query({ ...named, values: [2, "{}"] });
    await expectRefused(() => database.query({ ...named, values: [3, value] }), [{ n: 2 }]);
    await database.query({ ...named, values: [4, "{}"] });
    expect(await rows()).toEqual([{ n: 2 }, { n: 4 }]);
  });

  it("by Kysely's insert and update", async () => {
    const { kysely } = subject.database;
    await expectRefused(() => kysely.insertInto("t").values({ n: 1, v: value }).execute());
    await expectRefused(() => kysely.insertInto("t").values({ n: 1, v: value }).returning("n").execute());
    await kysely.insertInto("t").values({ n: 1, v: "{}" }).execute();
    await expectRefused(() => kysely.updateTable("t").set({ n: 2, v: value }).execute(), [{ n: 1 }]);
  });

  it("by withConnection(), whose session goes on", async () => {
    await subject.database.withConnection(async (session) => {
      await expectRefused(() => session.query(insert, [1, value]));
      await session.query(insert, [2, "{}"]);
    });
    expect(await rows()).toEqual([{ n: 2 }]);
  });

  it("by both kinds of transaction, of which nothing stays", async () => {
    const { database } = subject;
    let runs = 0;
    await expectRefused(() =>
      database.transaction(
        async (tx) => {
          runs++;
          await tx.query(insert, [1, "{}"]);
          await tx.query(insert, [2, value]);
        },
        { idempotencyKey: "key" },
      ),
    );
    await expectRefused(() =>
      database.transaction(async (tx) => {
        runs++;
        await tx.kysely.insertInto("t").values({ n: 1, v: "{}" }).execute();
        await tx.kysely.updateTable("t").set({ v: value }).execute();
      }),
    );
    await expectRefused(() =>
      database.kysely.transaction().execute(async (tx) => {
        runs++;
        await tx.insertInto("t").values({ n: 1, v: "{}" }).execute();
        await tx.insertInto("t").values({ n: 2, v: value }).execute();
      }),
    );
    expect(runs).toBe(3);
  });
});

describe("what was said of a statement first", () => {
  it("stands where pg reports it as failed and then as done", async () => {
    // Only on the second call it turns out that this is no text, so that pg finds out while it writes the statement.
    const value = () => {};
    value.toString = () => cycle as never;
    for (const statement of [
      { text: "insert into t values (1, $1)" },
      { name: "put1", text: "insert into t values (1, $1)" },
    ]) {
      const outcome = await timed(() => subject.database.query({ ...statement, values: [value] }));
      expect(outcome.error).toMatchObject({ code: "db_query_invalid", class: "permanent", retryable: false });
    }
    const failed = timed(() =>
      subject.database.transaction(async (tx) => {
        await tx.query("insert into t values (1, '{}')");
        await tx.query("insert into t values (2, $1)", [value]);
      }),
    );
    expect((await failed).code).toBe("db_query_invalid");
    expect(await rows()).toEqual([]);
  });
});

describe("values", () => {
  it("that are no array, or too many, are refused before anything is sent", async () => {
    const { database } = subject;
    for (const values of ["one", { length: 1 }, Array.from({ length: 65_537 }, () => 1)]) {
      const outcome = await timed(() => database.query("insert into t values ($1)", values as unknown[]));
      expect(outcome.error).toMatchObject({ code: "db_query_invalid", class: "permanent" });
    }
    expect(await rows()).toEqual([]);
  });

  it("arrive as pg sends them, and the caller's array stays as it was", async () => {
    const values = [
      1,
      "a",
      null,
      undefined,
      true,
      2n,
      Buffer.from("b"),
      new Uint8Array([99]),
      ["x", null],
      { a: 1 },
    ];
    const copy = [...values];
    const { rows: found } = await subject.database.query(
      `select $1::int as int, $2::text as text, $3::text as nothing, $4::text as missing, $5::bool as bool,
       $6::int8 as int8, $7::bytea as bytes, $8::bytea as array, $9::text[] as texts, $10::jsonb as json,
       $11::text as own, $12::timestamptz as date`,
      [...values, { toPostgres: () => "mine" }, new Date(0)],
    );
    expect(found).toEqual([
      {
        ...{ int: 1, text: "a", nothing: null, missing: null, bool: true, int8: "2" },
        ...{ bytes: Buffer.from("b"), array: Buffer.from("c"), texts: ["x", null], json: { a: 1 } },
        ...{ own: "mine", date: new Date(0) },
      },
    ]);
    expect(values).toEqual(copy);
  });
});

describe("a statement", () => {
  /** As libraries for SQL in template strings make them: what pg reads are getters of their class. */
  class Sql {
    readonly #parts: readonly string[];
    readonly #filled: readonly unknown[];
    constructor(parts: readonly string[], filled: readonly unknown[]) {
      this.#parts = parts;
      this.#filled = filled;
    }
    get text() {
      return this.#parts.reduce((before, part, at) => `${before}$${at}${part}`);
    }
    get values() {
      return this.#filled;
    }
    get name() {
      return "of a class";
    }
  }

  it("may be an object whose text, values and name are getters of its class", async () => {
    const one = (n: number) => new Sql(["select ", "::int as n"], [n]);
    expect((await subject.database.query(one(1))).rows).toEqual([{ n: 1 }]);
    await subject.database.withConnection(async (session) => {
      const both = await Promise.all([session.query(one(2)), session.query(one(3))]);
      expect(both.map(({ rows: [row] }) => row)).toEqual([{ n: 2 }, { n: 3 }]);
      const prepared = await session.query("select name, statement from pg_prepared_statements");
      expect(prepared.rows).toContainEqual({ name: "of a class", statement: "select $1::int as n" });
    });
  });

  it("is not sent where the code of a value aborts the call", async () => {
    const controller = new AbortController();
    const value = { toPostgres: () => controller.abort() ?? "1" };
    const { signal } = controller;
    await subject.database.withConnection(async (session) => {
      const outcome = await timed(() => session.query("insert into t values ($1)", [value], { signal }));
      expect(outcome.code).toBe("db_aborted");
    });
    expect(await rows()).toEqual([]);
  });

  it("is sent with what pg.utils.prepareValue makes of its values, also where that was replaced later", async () => {
    const { utils } = pg as unknown as { utils: { prepareValue: (value: unknown) => unknown } };
    const before = utils.prepareValue;
    utils.prepareValue = (value) => (value instanceof Map ? "a map" : before(value));
    try {
      const { rows: found } = await subject.database.query("select $1::text as v", [new Map()]);
      expect(found).toEqual([{ v: "a map" }]);
    } finally {
      utils.prepareValue = before;
    }
  });
});
