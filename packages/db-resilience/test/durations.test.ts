import { setTimeout } from "node:timers/promises";
import { type PostgresServer, startPostgres } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TransactionOutcomeUnknown } from "../src/index.ts";
import { cancelRunning, openDatabase, proxyOf, running, type Subject, timed } from "./support.ts";

let postgres: PostgresServer;
let subject: Subject;
const backend = async () => (await subject.database.query("select pg_backend_pid() as pid")).rows[0];

beforeAll(async () => {
  postgres = await startPostgres();
  subject = openDatabase([postgres], {
    pool: { size: 1, overflow: 0 },
    timeouts: { transactionMs: 0, statementMs: 0 },
  });
  await subject.database.untilReady();
});
afterAll(async () => {
  await subject.database.close({ deadlineMs: 100 });
  await postgres.close();
});

/** The only connection is in use when the call is made, and for a while yet. */
async function whileInUse(call: () => Promise<unknown>): Promise<void> {
  const begun = await subject.database.withConnection(async (session) => {
    const waiting = call();
    waiting.catch(() => {});
    await session.query("select pg_sleep(0.05)");
    return { waiting };
  });
  await begun.waiting;
}

/** Every time that a call can be given, but for that of `close()`. */
const calls: Record<string, (ms: number) => Promise<unknown>> = {
  "timeoutMs of query()": (timeoutMs) => subject.database.query("select pg_sleep(0.05)", [], { timeoutMs }),
  "acquireTimeoutMs of query()": (acquireTimeoutMs) =>
    subject.database.query("select 1", [], { acquireTimeoutMs }),
  "acquireTimeoutMs of withConnection()": (acquireTimeoutMs) =>
    subject.database.withConnection((session) => session.query("select 1"), { acquireTimeoutMs }),
  "acquireTimeoutMs of read()": (acquireTimeoutMs) =>
    subject.database.read((session) => session.query("select 1"), { acquireTimeoutMs }),
  "maxLagMs of read()": (maxLagMs) =>
    subject.database.read((session) => session.query("select 1"), { maxLagMs }),
  "deadlineMs of transaction()": (deadlineMs) =>
    subject.database.transaction((tx) => tx.query("select pg_sleep(0.05)"), { deadlineMs }),
  "timeoutMs of untilReady()": (timeoutMs) => subject.database.untilReady({ timeoutMs }),
};

it.each(Object.entries(calls))(
  "%s is refused where it is no time, and the connection stays",
  async (_, call) => {
    const before = await backend();
    for (const ms of [Number.NaN, -1, "1" as never]) {
      await expect(call(ms)).rejects.toMatchObject({ code: "db_options_invalid", retryable: false });
    }
    expect(await backend()).toEqual(before);
  },
);

/** Those that a timer measures; each takes longer than a timer that rings at once. */
const timers: Record<string, (ms: number) => Promise<unknown>> = {
  ...Object.fromEntries(
    Object.entries(calls)
      .filter(([title]) => !title.includes("maxLagMs"))
      .map(([title, call]) => [title, (ms: number) => whileInUse(() => call(ms))]),
  ),
  "timeoutMs of untilReady()": async (timeoutMs) => {
    const { database } = openDatabase([postgres]);
    try {
      await database.untilReady({ timeoutMs });
    } finally {
      await database.close({ deadlineMs: 100 });
    }
  },
  "deadlineMs of close()": async (deadlineMs) => {
    const { database } = openDatabase([postgres]);
    await database.untilReady();
    await database.withConnection(async (session) => {
      const closed = database.close({ deadlineMs });
      await session.query("select pg_sleep(0.05)");
      return { closed };
    });
  },
};

it.each(Object.entries(timers))("%s may be longer than a timer takes", async (_, call) => {
  const before = await backend();
  for (const ms of [2 ** 31, 1e12, Number.POSITIVE_INFINITY]) await call(ms);
  expect(await backend()).toEqual(before);
});

describe("close()", () => {
  it.each([0, -1, Number.NEGATIVE_INFINITY, Number.NaN])(
    "closes at once where %s ms are left",
    async (ms) => {
      const { database } = openDatabase([postgres]);
      const text = `select pg_sleep(3600) as "${ms}"`;
      const used = timed(() => database.withConnection((session) => session.query(text)));
      await running(postgres, text);
      await database.close({ deadlineMs: ms });
      expect((await used).code).toBe("db_unavailable");
      expect((await timed(() => database.query("select 1"))).code).toBe("db_closed");
      await cancelRunning(postgres, text);
    },
  );
});

describe("retries", () => {
  it("are refused where they are no number", async () => {
    const call = subject.database.transaction((tx) => tx.query("select 1"), { retries: Number.NaN });
    await expect(call).rejects.toMatchObject({ code: "db_options_invalid" });
  });
});

describe("transactions.settleMs", () => {
  it("bounds the search for an outcome that cannot be found out", async () => {
    await using proxy = await proxyOf(postgres);
    const { database } = openDatabase([proxy], { transactions: { settleMs: 300 } });
    await database.transaction((tx) => tx.query("select 1"), { settle: true });
    proxy.set({ connect: "reset", up: { cutAt: { pattern: "commit", position: "before" } } });
    // Well before the 15 s that are the default.
    const late = setTimeout(5_000, "late", { ref: false });
    const call = database.transaction((tx) => tx.query("select 1"), { settle: true });
    await expect(Promise.race([call, late])).rejects.toBeInstanceOf(TransactionOutcomeUnknown);
    await database.close({ deadlineMs: 100 });
  });
});
