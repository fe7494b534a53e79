import { type PostgresServer, startPostgres } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TransactionOutcomeUnknown } from "../src/index.ts";
import { openDatabase, proxyOf, type Subject, timed } from "./support.ts";

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

/** Every time that a call can be given. */
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
  "deadlineMs of close()": (deadlineMs) => openDatabase([postgres]).database.close({ deadlineMs }),
};

describe.each(Object.entries(calls))("%s", (_, call) => {
  it("is refused where it is no time, and the connection stays", async () => {
    const before = await backend();
    for (const ms of [Number.NaN, -1, "1" as never]) {
      await expect(call(ms)).rejects.toMatchObject({ code: "db_options_invalid", retryable: false });
    }
    expect(await backend()).toEqual(before);
  });

  it("may be longer than a timer takes", async () => {
    const before = await backend();
    for (const ms of [2 ** 31, 1e12, Number.POSITIVE_INFINITY]) await call(ms);
    expect(await backend()).toEqual(before);
  });
});

describe("acquireTimeoutMs", () => {
  it("longer than a timer takes waits for a connection that is in use", async () => {
    const { database } = subject;
    const waited = await database.withConnection(async (session) => {
      const waiting = timed(() => database.query("select 1", [], { acquireTimeoutMs: 1e12 }));
      await session.query("select pg_sleep(0.1)");
      return { waiting };
    });
    expect((await waited.waiting).code).toBe("ok");
  });
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
    const start = performance.now();
    const call = database.transaction((tx) => tx.query("select 1"), { settle: true });
    await expect(call).rejects.toBeInstanceOf(TransactionOutcomeUnknown);
    expect(performance.now() - start).toBeLessThan(5 * 300);
    await database.close({ deadlineMs: 100 });
  });
});
