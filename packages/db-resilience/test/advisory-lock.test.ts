import { eventually, type PostgresServer, startPostgres, startPostgresPair } from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { keepDatabase, openDatabase, proxyOf, type Subject, test } from "./support.ts";

let postgres: PostgresServer;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());
const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

function open(...[hosts, options]: Parameters<typeof openDatabase>): Subject {
  const subject = openDatabase(hosts, options);
  opened.push({ close: () => subject.database.close({ deadlineMs: 100 }) });
  return subject;
}

/** Holds a lock until its signal aborts. */
function hold(
  { database }: Subject,
  { name = "held", signal }: { name?: string; signal?: AbortSignal } = {},
) {
  let seen: AbortSignal | undefined;
  const done = database.withAdvisoryLock(
    name,
    (given) => {
      seen = given;
      return new Promise<string>((resolve) => {
        given.addEventListener("abort", () => resolve("stopped"), { once: true });
      });
    },
    signal ? { signal } : {},
  );
  done.catch(() => {});
  return { done, taken: () => eventually(() => seen !== undefined), signal: () => seen };
}

const lost = { name: "DatabaseError", code: "db_unavailable", retryable: false, details: { reason: "lock" } };
const holder = "application_name = 'app' and state = 'idle in transaction'";

describe("withAdvisoryLock", () => {
  it("aborts its work's signal when the server ends the session, lets the next one in, and rejects", async () => {
    const subject = open([postgres]);
    const first = hold(subject);
    await first.taken();
    await postgres.query(`select pg_terminate_backend(pid) from pg_stat_activity where ${holder}`);
    await expect(first.done).rejects.toMatchObject(lost);
    expect(first.signal()?.reason).toMatchObject(lost);
    expect(await subject.database.withAdvisoryLock("held", async () => "next")).toBe("next");
    await eventually(() => subject.database.stats().checkedOut === 0);
  });

  it("rejects where the work goes on regardless, and where it fails because of that", async () => {
    const subject = open([postgres]);
    for (const failing of [false, true]) {
      const work = subject.database.withAdvisoryLock("held", async (signal) => {
        await postgres.query(`select pg_terminate_backend(pid) from pg_stat_activity where ${holder}`);
        await eventually(() => signal.aborted);
        if (failing) throw new Error("stopped");
      });
      await expect(work).rejects.toMatchObject(lost);
    }
  });

  it("ends with a server whose place another one has taken, though its session stays open", async () => {
    const pair = await startPostgresPair();
    opened.push(pair);
    const first = hold(open([pair.primary, pair.standby], { monitor: { intervalMs: 100 } }));
    await first.taken();
    await pair.promote();
    await expect(first.done).rejects.toMatchObject(lost);
    // A connection that was given up is missed by its server a little later.
    await eventually(
      async () => (await pair.primary.query(`select 1 from pg_stat_activity where ${holder}`)).length === 0,
    );
  });

  it("aborts its work's signal with the caller's, and ends as the work does", async () => {
    const subject = open([postgres], { monitor: { intervalMs: 20 } });
    const caller = new AbortController();
    const first = hold(subject, { signal: caller.signal });
    await first.taken();
    caller.abort("enough");
    expect(await first.done).toBe("stopped");
    expect(first.signal()?.reason).toBe("enough");
    const failing = subject.database.withAdvisoryLock("held", () => Promise.reject(new Error("of the work")));
    await expect(failing).rejects.toThrow("of the work");
  });

  it("holds the lock while the server is asked, and longer than a session may be idle in a transaction", async () => {
    const idle = { timeouts: { idleInTransactionMs: 100 }, monitor: { intervalMs: 20 } };
    const [subject, other] = [open([postgres], idle), open([postgres], idle)];
    let looks = 0;
    const work = async (signal: AbortSignal) => {
      const [row] = await postgres.query<{ asked: Date }>(
        `select query_start as asked from pg_stat_activity where ${holder}`,
      );
      // It was asked several times, long after the lock was taken.
      await eventually(async () => {
        const rows = await postgres.query<{ late: boolean }>(
          `select query_start > $1::timestamptz + interval '300 ms' as late from pg_stat_activity where ${holder}`,
          [row?.asked],
        );
        looks++;
        return rows.some(({ late }) => late);
      });
      expect(signal.aborted).toBe(false);
      return "done";
    };
    expect(await subject.database.withAdvisoryLock("held", work)).toBe("done");
    expect(looks).toBeGreaterThan(0);
    expect(await other.database.withAdvisoryLock("held", async () => "next")).toBe("next");
  });
});

/** The time that a line may be silent for is seconds, so these are waited for at once. */
describe.concurrent("withAdvisoryLock on a line that swallows everything", () => {
  test("finds that out", async ({ keep }) => {
    const proxy = keep(await proxyOf(postgres));
    const first = hold(keepDatabase(keep, [proxy], { monitor: { intervalMs: 100 } }), { name: "alone" });
    await first.taken();
    proxy.set({ up: { blackhole: true }, down: { blackhole: true } });
    await expect(first.done).rejects.toMatchObject(lost);
  });

  test("finds that out where the monitor has given the server up already", async ({ keep }) => {
    const [proxy, pair] = [keep(await proxyOf(postgres)), keep(await startPostgresPair())];
    const subject = keepDatabase(keep, [proxy, pair.standby], {
      monitor: { intervalMs: 1_500 },
      pool: { connectTimeoutMs: 300, validationTimeoutMs: 300 },
    });
    const first = hold(subject, { name: "given up" });
    await first.taken();
    proxy.set({ up: { blackhole: true }, down: { blackhole: true } });
    // A statement in vain makes the monitor look at once, long before the line of the lock is asked.
    await subject.database.query("select 1", [], { timeoutMs: 100 }).catch(() => {});
    await eventually(() => subject.database.stats().hosts[0]?.state === "down", { timeoutMs: 10_000 });
    await expect(first.done).rejects.toMatchObject(lost);
  });
});
