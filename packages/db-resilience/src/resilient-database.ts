import { Kysely, type KyselyPlugin } from "kysely";
import { withAdvisoryLock } from "./advisory-lock.ts";
import { type ChannelHearer, ChannelListener } from "./channel-listener.ts";
import { type Clock, systemClock } from "./clock.ts";
import { DatabaseHost } from "./database-host.ts";
import { attachInternals, type DatabaseHandle } from "./database-internals.ts";
import type { DatabaseSession, LeasedSession, SessionStatementOptions } from "./database-session.ts";
import { checkedMs } from "./duration.ts";
import { FenceKeeper } from "./fence-keeper.ts";
import type { FenceStore } from "./fence-store.ts";
import { HostRouter } from "./host-router.ts";
import { dialectOf } from "./kysely/dialect-of.ts";
import { ResilientDriver } from "./kysely/resilient-driver.ts";
import { createSessionDriver } from "./kysely/session-driver.ts";
import { lineageSeen } from "./lineage.ts";
import { type DatabaseObserver, guardObserver } from "./observer.ts";
import { parseOptions, type ResilientDatabaseOptions } from "./options.ts";
import type { PoolStats } from "./pool-context.ts";
import type { QueryResult, Row, Statement } from "./query-result.ts";
import { notingWrites, type ReadSession } from "./read-session.ts";
import { type Readiness, readinessOf } from "./readiness.ts";
import { ReplicaReader } from "./replica-reader.ts";
import { createRetryBudget } from "./retry-budget.ts";
import { SessionProvider } from "./session-provider.ts";
import { createOutcomeSettler } from "./settle-outcome.ts";
import type { ReadOptions } from "./standby-proof.ts";
import { commitsByItself } from "./statement-kind.ts";
import { runTransaction } from "./transaction.ts";
import {
  asTransactionSession,
  type TransactionOptions,
  type TransactionSession,
} from "./transaction-options.ts";

/** What may be injected. */
export interface ResilientDatabaseDeps {
  readonly clock?: Clock;
  /** Numbers in [0, 1) for jitter; default Math.random. */
  readonly random?: () => number;
  readonly observer?: DatabaseObserver;
  /** Where the fence is kept for all replicas and over restarts; default this process's memory. */
  readonly fenceStore?: FenceStore;
  /** Kysely plugins of `kysely`. */
  readonly plugins?: readonly KyselyPlugin[];
}

/** How to use a connection. */
export interface ConnectionOptions {
  readonly signal?: AbortSignal;
  /** How long to wait for a connection; default acquireTimeoutMs. */
  readonly acquireTimeoutMs?: number;
  /** The function only reads, or repeating it is harmless: it is run once more when its connection is lost. */
  readonly idempotent?: boolean;
  /** Notes in this session how far it has written, for later reads. Costs one round trip. */
  readonly session?: ReadSession;
}

/** A session with Kysely bound to it. */
export interface KyselySession<DB> extends DatabaseSession {
  readonly kysely: Kysely<DB>;
}

/** A transaction's session with Kysely bound to it. */
export interface KyselyTransaction<DB> extends TransactionSession {
  readonly kysely: Kysely<DB>;
}

/** Counters and sizes, summed over hosts and singly. */
export interface DatabaseStats {
  readonly hosts: readonly (PoolStats & {
    readonly host: string;
    readonly state: "starting" | "up" | "down";
  })[];
  readonly checkedOut: number;
  readonly waiting: number;
  readonly failovers: number;
}

/** PostgreSQL access that survives the loss of connections and servers. */
export interface ResilientDatabase<DB = unknown> extends DatabaseHandle {
  /** Kysely on this database. Its own `transaction()` is guarded too, but only ours repeats and settles. */
  readonly kysely: Kysely<DB>;
  /** Runs one statement on any free connection. */
  query<R extends object = Row>(
    text: string | Statement,
    values?: readonly unknown[],
    options?: ConnectionOptions & SessionStatementOptions,
  ): Promise<QueryResult<R>>;
  /** Lends a connection to `work`; what leaves it in doubt is destroyed afterwards. */
  withConnection<T>(
    work: (session: KyselySession<DB>) => Promise<T>,
    options?: ConnectionOptions,
  ): Promise<T>;
  /**
   * Lends a connection for reading: of a standby that is known to follow the server for writes and is fresh enough
   * (`session`, `maxLagMs`), else of the server for writes. `work` may be run twice.
   */
  read<T>(work: (session: KyselySession<DB>) => Promise<T>, options?: ReadOptions): Promise<T>;
  /** Runs `work` in a transaction, and anew when the server aborts it because of a conflict. */
  transaction<T>(
    work: (session: KyselyTransaction<DB>) => Promise<T>,
    options?: TransactionOptions,
  ): Promise<T>;
  /**
   * Runs `work` while no other holder of the same name does, on any replica (advisory lock), e.g. migrations. Waiting for
   * the lock and holding it takes one connection of the pool: what `work` does needs others.
   *
   * The server gives the lock away when that connection is lost, or another server takes its place. Then the signal
   * that `work` is handed aborts (`options.signal` aborts it too), and `work` has to stop: another holder may have begun.
   *
   * @throws DatabaseError `db_unavailable`, not retryable, after `work` has ended, when the lock was lost before.
   */
  withAdvisoryLock<T>(
    name: string,
    work: (signal: AbortSignal) => Promise<T>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<T>;
  /**
   * Hears what NOTIFY sends to a channel, on a connection of its own to the server for writes. Best effort: what is
   * sent while there is no connection is never heard, so look for what was missed when `listening` is called, and now
   * and then. Returns how to stop.
   *
   * @throws DatabaseError `db_options_invalid` behind a pooler, which delivers nothing.
   */
  listen(channel: string, hearer: ChannelHearer): () => void;
  /**
   * Accepts the server that can be reached, although its history is lower than one seen before. While the fence store is
   * away this holds for this process; the store is told when it answers.
   */
  resetFence(): Promise<void>;
  readiness(): Readiness;
  /** Resolves when ready; rejects with `db_unavailable` after `timeoutMs` (default 30 000). */
  untilReady(options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal }): Promise<void>;
  stats(): DatabaseStats;
  /** Refuses new work, waits for what is under way until `deadlineMs` (default 5 000), closes. Idempotent. */
  close(options?: { readonly deadlineMs?: number }): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens access to PostgreSQL. Returns at once and never fails because the database is away: `readiness()` tells,
 * and connecting goes on in the background.
 *
 * @throws DatabaseError `db_options_invalid`.
 */
export function createResilientDatabase<DB = unknown>(
  input: ResilientDatabaseOptions,
  deps: ResilientDatabaseDeps = {},
): ResilientDatabase<DB> {
  const options = parseOptions(input);
  const clock = deps.clock ?? systemClock;
  const random = deps.random ?? Math.random;
  const observer = guardObserver(deps.observer ?? {});
  const plugins = [...(deps.plugins ?? [])];

  let readiness: Omit<Readiness, "since"> = { state: "starting" };
  let since = clock.now();
  const noteReadiness = () => {
    const now = readinessOf(router, keeper?.refusing ?? false, (standby) => reader.isStranger(standby));
    if (now.state !== readiness.state || now.reason !== readiness.reason) since = clock.now();
    readiness = now;
  };
  const hosts: DatabaseHost[] = options.hosts.map(
    (address) =>
      new DatabaseHost(address, options, {
        clock,
        random,
        observer,
        monitorIntervalMs: () =>
          hosts.length > 1 && router.candidates().length === 0
            ? Math.min(250, options.monitor.intervalMs)
            : options.monitor.intervalMs,
        checked: (host) => {
          noteReadiness();
          reader.noteCheck(host);
          router.noteCheck();
          keeper?.noteCheck(host);
        },
      }),
  );
  const router = new HostRouter(hosts, options, clock);
  const fencing = options.fencing.enabled ?? (hosts.length > 1 || deps.fenceStore !== undefined);
  const writes = options.targetSessionAttrs === "read-write" || options.targetSessionAttrs === "primary";
  const keeper: FenceKeeper | undefined =
    fencing && (writes || hosts.length === 1)
      ? new FenceKeeper({
          clock,
          options,
          hosts: () => hosts,
          store: deps.fenceStore,
          event: (event) => observer.event?.(event),
          changed: () => noteReadiness(),
        })
      : undefined;
  const provider = new SessionProvider(router, options, { clock, observer, admission: keeper });
  const seen = lineageSeen(router);
  const reader = new ReplicaReader({
    router,
    provider,
    options,
    clock,
    lineage: () => (keeper ? keeper.lineage : seen()),
    event: (event) => observer.event?.(event),
  });
  const settler = createOutcomeSettler(provider, options, clock);
  const budget = createRetryBudget(options.transactions.budgetRatio);
  const transactionDeps = { provider, options, clock, random, observer, budget, settler };

  const kysely = new Kysely<DB>({
    dialect: dialectOf(() => new ResilientDriver(provider, options.retryReads)),
    plugins,
  });
  const visible = (session: LeasedSession, attempt: number): KyselyTransaction<DB> => {
    let bound: Kysely<DB> | undefined;
    return Object.defineProperty(asTransactionSession(session, attempt), "kysely", {
      get: () => {
        bound ??= new Kysely<DB>({ dialect: dialectOf(() => createSessionDriver(session)), plugins });
        return bound;
      },
    }) as KyselyTransaction<DB>;
  };

  const listeners = new Set<ChannelListener>();
  let closed: Promise<void> | undefined;
  const close = async ({ deadlineMs = 5_000 } = {}) => {
    // Whatever it is given, it closes: at once where no time is left.
    const limitMs = Math.max(deadlineMs, 0);
    provider.close();
    for (const listener of listeners) listener.close();
    closed ??= Promise.all(hosts.map((host) => host.close(limitMs))).then(() => {});
    return closed;
  };

  const database: ResilientDatabase<DB> = {
    kind: "resilient-database",
    kysely,
    query: (text, values, use = {}) =>
      provider.withSession(
        (session) => notingWrites(session, use.session, () => session.query(text, values, use)),
        {
          ...use,
          reads: keeper !== undefined && !commitsByItself(typeof text === "string" ? text : text.text),
        },
      ),
    withConnection: (work, use = {}) =>
      provider.withSession(
        (session) => notingWrites(session, use.session, () => work(visible(session, 1))),
        use,
      ),
    read: (work, use = {}) => reader.read((session) => work(visible(session, 1)), use),
    transaction: (work, use = {}) =>
      runTransaction(transactionDeps, (session, attempt) => work(visible(session, attempt)), use),
    withAdvisoryLock: (name, work, use = {}) =>
      withAdvisoryLock({ provider, options, clock }, name, work, use.signal),
    listen(channel, hearer) {
      const listener = new ChannelListener(channel, hearer, { router, options, clock, random });
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
        listener.close();
      };
    },
    resetFence: async () => keeper?.reset(),
    readiness: () => ({ ...readiness, since }),
    async untilReady({ timeoutMs = 30_000, signal } = {}) {
      const deadline = clock.monotonic() + checkedMs("timeoutMs", timeoutMs);
      while (readiness.state !== "ready") {
        await router.nextChange(Math.max(0, deadline - clock.monotonic()), signal);
      }
    },
    stats: () => {
      const each = hosts.map((host) => host.stats());
      const sum = (key: "checkedOut" | "waiting") => each.reduce((total, one) => total + one[key], 0);
      return {
        hosts: each,
        checkedOut: sum("checkedOut"),
        waiting: sum("waiting"),
        failovers: keeper?.failovers ?? 0,
      };
    },
    close,
    [Symbol.asyncDispose]: () => close(),
  };
  return attachInternals(database, { provider, options });
}
