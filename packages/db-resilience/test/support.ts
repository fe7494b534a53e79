import { eventually, type PostgresServer } from "@gatewright/testkit";
import { test as base, expect } from "vitest";
import {
  createResilientDatabase,
  type DatabaseError,
  type DatabaseEvent,
  type ResilientDatabase,
  type ResilientDatabaseDeps,
  type ResilientDatabaseOptions,
} from "../src/index.ts";
import { createFaultProxy, type FaultProxy } from "../src/testing/index.ts";

/** What a test has opened is closed when it ends, the last one first. */
export type Keep = <T extends { close(): Promise<unknown> }>(one: T) => T;

/** For tests that run beside each other: each closes what it has itself opened. */
export const test = base.extend<{ readonly keep: Keep }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads from it which other fixtures are needed.
  keep: async ({}, use) => {
    const opened: { close(): Promise<unknown> }[] = [];
    await use((one) => {
      opened.push(one);
      return one;
    });
    for (const one of opened.reverse()) await one.close();
  },
});

/** A database under test with the events it has reported. */
export interface Subject<DB = unknown> {
  database: ResilientDatabase<DB>;
  events: DatabaseEvent[];
}

export const application = "app";

/** Opens a database on these servers or proxies. */
export function openDatabase<DB = unknown>(
  hosts: readonly { host: string; port: number }[],
  options: ResilientDatabaseOptions = {},
  deps: ResilientDatabaseDeps = {},
): Subject<DB> {
  const events: DatabaseEvent[] = [];
  const database = createResilientDatabase<DB>(
    {
      hosts: hosts.map(({ host, port }) => ({ host, port })),
      user: "gatewright",
      password: "testkit-password",
      database: "postgres",
      applicationName: application,
      ...options,
    },
    { ...deps, observer: { ...deps.observer, event: (event) => void events.push(event) } },
  );
  return { database, events };
}

/** The same, closed when its test ends. */
export function keepDatabase(keep: Keep, ...given: Parameters<typeof openDatabase>): Subject {
  const subject = openDatabase(...given);
  keep({ close: () => subject.database.close({ deadlineMs: 100 }) });
  return subject;
}

/** A fault proxy in front of a server. */
export function proxyOf(server: PostgresServer): Promise<FaultProxy> {
  return createFaultProxy({ upstream: { host: server.host, port: server.port } });
}

/** How a call ended, and after how long. */
export interface Outcome {
  status: 200 | 503 | 500 | 409 | 422 | 499;
  code: string;
  ms: number;
  error?: DatabaseError;
}

/** Runs a call as the gateway would: errors become a status and a code. */
export async function timed(call: () => Promise<unknown>): Promise<Outcome> {
  const start = performance.now();
  try {
    await call();
    return { status: 200, code: "ok", ms: performance.now() - start };
  } catch (error) {
    const failure = error as DatabaseError;
    expect(failure.name, String(failure.stack)).toMatch(/^(DatabaseError|TransactionOutcomeUnknown)$/);
    expect(`${failure.message}${JSON.stringify(failure)}`).not.toMatch(/127\.0\.0\.1|testkit|gatewright/);
    expect(failure.message).toMatch(/database/);
    if (failure.httpStatus === 503 && failure.retryable)
      expect(failure.retryAfterMs).toBeGreaterThanOrEqual(1_000);
    return {
      status: failure.httpStatus as Outcome["status"],
      code: failure.code,
      ms: performance.now() - start,
      error: failure,
    };
  }
}

/**
 * How a call ended that has to be refused at once (50 ms): before a timer of five times that, set before the call, rings. A
 * machine that stands still holds up both.
 */
export async function refusedAtOnce(call: () => Promise<unknown>): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("The call was not refused at once.")), 250);
  });
  try {
    return await Promise.race([timed(call), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The common conditions after a case: nothing checked out, nobody waiting, few backends. */
export async function expectAtRest(subject: Subject, server: PostgresServer, max = 15): Promise<void> {
  await eventually(
    () => subject.database.stats().checkedOut === 0 && subject.database.stats().waiting === 0,
    // Within two seconds on an idle machine.
    { timeoutMs: 10_000 },
  );
  // The server hears of a closed socket when it next reads from it.
  await eventually(async () => (await pooledBackends(server)).length <= max, { timeoutMs: 10_000 });
  const others = await server.query(
    `select pid from pg_stat_activity where application_name = '${application}-monitor'`,
  );
  expect(others.length).toBeLessThanOrEqual(2);
}

/** Process ids of the pool's backends. */
export async function pooledBackends(server: PostgresServer): Promise<number[]> {
  const rows = await server.query<{ pid: number }>(
    `select pid from pg_stat_activity where application_name = '${application}' order by pid`,
  );
  return rows.map(({ pid }) => pid);
}

/** Waits until this many backends run a statement like this. */
export async function running(server: PostgresServer, like: string, count = 1): Promise<void> {
  await eventually(async () => {
    const rows = await server.query(
      `select 1 from pg_stat_activity where state = 'active' and query like $1 and pid <> pg_backend_pid()`,
      [like],
    );
    return rows.length >= count;
  });
}

/** Cancels the statements like this that are under way, as an operator would. */
export async function cancelRunning(server: PostgresServer, like: string): Promise<void> {
  await running(server, like);
  await server.query(
    `select pg_cancel_backend(pid) from pg_stat_activity where query like $1 and pid <> pg_backend_pid()`,
    [like],
  );
}

/** Calls `call` at a fixed rate until stopped, however long each call takes. */
export function load(
  perSecond: number,
  call: (index: number) => Promise<unknown>,
): { outcomes: Outcome[]; stop(): Promise<Outcome[]> } {
  const outcomes: Outcome[] = [];
  const pending = new Set<Promise<void>>();
  let index = 0;
  const start = performance.now();
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - start) / 1000) * perSecond);
    while (index < due) {
      const mine = index++;
      const at = performance.now() - start;
      const one: Promise<void> = timed(() => call(mine)).then((outcome) => {
        pending.delete(one);
        outcomes.push(Object.assign(outcome, { at }));
      });
      pending.add(one);
    }
  }, 10);
  return {
    outcomes,
    async stop() {
      clearInterval(timer);
      await Promise.all(pending);
      return outcomes;
    },
  };
}
