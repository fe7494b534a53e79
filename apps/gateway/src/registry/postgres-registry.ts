import { setTimeout as sleep } from "node:timers/promises";
import {
  createReadSession,
  createResilientDatabase,
  DatabaseError,
  type DatabaseObserver,
  type DatabaseStats,
  type FenceStore,
  type ReadSession,
  type ResilientDatabase,
  type ResilientDatabaseOptions,
  type TransactionOptions,
} from "@gatewright/db-resilience";
import { HandleEmptyInListsPlugin, type Kysely, replaceWithNoncontingentExpression } from "kysely";
import { ConfigError } from "../config/config-error.ts";
import { GatewayError } from "../errors.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";
import { type ChangeNews, newsByNotify, newsByRedis, noNews } from "./change-news.ts";
import { describeDatabaseFault, describeFaultWhileMigrating } from "./database-fault.ts";
import { createKyselyRegistry, type KyselyRegistryOptions } from "./kysely-registry.ts";
import { isLatest, migrateInTransaction } from "./migrations.ts";
import type { Registry, RegistryHealth } from "./registry.ts";
import type { RegistryDatabase, RegistrySession, SessionTerms } from "./registry-database.ts";
import type { Tables } from "./tables.ts";
import { VersionWatch } from "./version-watch.ts";

/** How the registry's database is reached and watched. */
export interface PostgresRegistryOptions extends KyselyRegistryOptions {
  readonly database: ResilientDatabaseOptions;
  /** Longest time of one request's use of the database, in milliseconds. */
  readonly requestMs: number;
  /** Milliseconds between two looks for changes of other replicas. */
  readonly pollMs: number;
  /** Carries news of changes; without it the database does. */
  readonly redis?: RedisConnections | undefined;
  readonly fenceStore?: FenceStore | undefined;
  readonly observer: DatabaseObserver;
  /** Given a way to read the counters once there are any. */
  readonly onOpen?: (stats: () => DatabaseStats) => void;
}

/** What is read with it comes from the server for writes. */
const ofPrimary = createReadSession("primary");
/**
 * By a step of its own length, so that a version that was lost with an old primary is not given to another change: who
 * has read the lost one would not notice.
 */
const stepVersion =
  "update registry_version set version = version + 1 + floor(random() * 1000000)::bigint where id = 1 returning version";
/** How long a start waits for another replica that is making the tables. */
const migrationWaitMs = 120_000;
/** Pause between two looks whether it has done so. */
const migrationPauseMs = 100;

/**
 * Opens the registry in PostgreSQL. Returns at once, whether the database is there or not; `migrate` has to be called
 * until it succeeds.
 *
 * @throws {ConfigError} when the URL is wrong
 */
export function openPostgresRegistry(options: PostgresRegistryOptions): Registry {
  const { fenceStore, observer } = options;
  let database: ResilientDatabase<Tables>;
  try {
    database = createResilientDatabase<Tables>(
      { ...options.database, int8AsNumber: true },
      {
        observer,
        plugins: [new HandleEmptyInListsPlugin({ strategy: replaceWithNoncontingentExpression })],
        ...(fenceStore === undefined ? {} : { fenceStore }),
      },
    );
  } catch (error) {
    if (!DatabaseError.is(error)) throw error;
    throw new ConfigError([{ path: "database", message: error.message }]);
  }
  options.onOpen?.(() => database.stats());
  return createKyselyRegistry(new PostgresDatabase(database, options), options);
}

type Work<T> = (db: Kysely<Tables>) => Promise<T>;

class PostgresDatabase implements RegistryDatabase {
  readonly liveness = { kind: "beat", beatMs: 10_000, goneMs: 45_000 } as const;
  readonly token = undefined;
  readonly #database: ResilientDatabase<Tables>;
  readonly #requestMs: number;
  readonly #listeners = new Set<() => void>();
  readonly #watch: VersionWatch;
  readonly #news: ChangeNews;
  #migrated = false;

  constructor(database: ResilientDatabase<Tables>, options: PostgresRegistryOptions) {
    this.#database = database;
    this.#requestMs = options.requestMs;
    this.#watch = new VersionWatch({
      pollMs: options.pollMs,
      ask: () => this.read(versionOf),
      changed: () => this.#changed(),
    });
    const hear = (version?: number) => this.#watch.hear(version);
    if (options.redis !== undefined) this.#news = newsByRedis(options.redis, hear);
    else this.#news = options.database.pooler === "transaction" ? noNews : newsByNotify(database, hear);
  }

  // Arrow functions: the registry passes them on.
  readonly read = <T>(work: Work<T>): Promise<T> =>
    this.#guarded(() => this.#database.read(({ kysely }) => work(kysely), { session: ofPrimary }));

  readonly change = <T>(work: Work<T>): Promise<T> => this.#change(work, {});

  readonly note = <T>(work: Work<T>): Promise<T> => this.#note(work, {});

  readonly moment = <T>(work: Work<T>): Promise<T> =>
    this.#guarded(async () => {
      const options = { isolation: "repeatable read", readOnly: true, idempotencyKey: "read" } as const;
      const { version, result } = await this.#database.transaction(
        async ({ kysely }) => ({ version: await versionOf(kysely), result: await work(kysely) }),
        options,
      );
      this.#watch.noteRead(version);
      return result;
    });

  readonly session = ({ token, repeatable = false }: SessionTerms): RegistrySession => {
    // What a request does between its uses of the database takes its own time.
    let leftMs = this.#requestMs;
    const spending = async <T>(use: (timeoutMs: number) => Promise<T>): Promise<T> => {
      const startedAt = performance.now();
      try {
        return await use(Math.max(1, Math.ceil(leftMs)));
      } finally {
        leftMs -= performance.now() - startedAt;
      }
    };
    const written = createReadSession(token);
    let changed = false;
    return {
      read: <T>(work: Work<T>) =>
        spending((timeoutMs) => this.#readAfter(work, token === undefined ? ofPrimary : written, timeoutMs)),
      change: <T>(work: Work<T>) =>
        spending(async (deadlineMs) => {
          const key = repeatable ? { idempotencyKey: "request" } : {};
          const result = await this.#change(work, { session: written, deadlineMs, ...key });
          changed = true;
          return result;
        }),
      note: <T>(work: Work<T>) => spending((deadlineMs) => this.#note(work, { deadlineMs })),
      get token() {
        return changed ? written.token : undefined;
      },
    };
  };

  readonly migrate = (): Promise<void> =>
    this.#guarded(async () => {
      // Where there is nothing to do, nothing has to be written: reading is possible sooner.
      if (!(await this.read(isLatest))) await this.#makeTables();
      this.#migrated = true;
    });

  readonly health = async (): Promise<RegistryHealth> => {
    const { state, reason, since } = this.#database.readiness();
    if (state !== "ready") return { status: "down", reason: reason ?? state, since };
    return this.#migrated ? { status: "ok" } : { status: "down", reason: "migrating", since };
  };

  readonly acceptServer = (): Promise<void> => this.#guarded(() => this.#database.resetFence());

  /** Servers are numbered in the order of the URL: what is shown names no host. */
  readonly describe = () => {
    const { host, ...readiness } = this.#database.readiness();
    const { hosts, ...totals } = this.#database.stats();
    const active = hosts.findIndex((each) => each.host === host) + 1;
    return {
      kind: "postgres",
      ...readiness,
      migrated: this.#migrated,
      ...(active === 0 ? {} : { server: active }),
      ...totals,
      servers: hosts.map(({ host: _, ...stats }, index) => ({ server: index + 1, ...stats })),
    };
  };

  readonly onChange = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly close = async (): Promise<void> => {
    this.#watch.stop();
    this.#news.stop();
    await this.#database.close({ deadlineMs: 2_000 });
  };

  async #makeTables(): Promise<void> {
    const untilMs = performance.now() + migrationWaitMs;
    while (!(await this.#makeTablesUnlessLocked())) {
      if (performance.now() > untilMs) {
        throw new GatewayError("db_timeout", "Another process does not finish the tables of the database.", {
          retryAfterMs: 1_000,
        });
      }
      await sleep(migrationPauseMs);
    }
  }

  /** Lock and tables share a connection, and the wait for another replica needs none: a pool of one is enough. */
  #makeTablesUnlessLocked(): Promise<boolean> {
    return this.#database.transaction(
      async ({ query, kysely }) => {
        const { rows } = await query<{ taken: boolean }>(
          "select pg_try_advisory_xact_lock(hashtextextended('gatewright registry', 0)) as taken",
        );
        if (rows[0]?.taken !== true) return false;
        await migrateInTransaction(kysely);
        return true;
      },
      { idempotencyKey: "migration" },
    );
  }

  #readAfter<T>(work: Work<T>, session: ReadSession, timeoutMs: number): Promise<T> {
    const signal = AbortSignal.timeout(timeoutMs);
    return this.#guarded(() => this.#database.read(({ kysely }) => work(kysely), { session, signal }));
  }

  /** What is noted says of itself what it is, so that noting it twice is as good as once. */
  #note<T>(work: Work<T>, options: TransactionOptions): Promise<T> {
    const terms = { ...options, idempotencyKey: "note" };
    return this.#guarded(() => this.#database.transaction(({ kysely }) => work(kysely), terms));
  }

  async #change<T>(work: Work<T>, options: TransactionOptions): Promise<T> {
    const { statement } = this.#news;
    const { result, version } = await this.#guarded(() =>
      this.#database.transaction(async (tx) => {
        const done = await work(tx.kysely);
        // Last of all, so that the one row that all changes write is locked for the commit alone.
        const { rows } = await tx.query<{ version: number }>(stepVersion);
        const next = rows[0]?.version ?? 0;
        if (statement !== undefined) await tx.query(statement, [String(next)]);
        return { result: done, version: next };
      }, options),
    );
    this.#news.tell(version);
    this.#changed();
    return result;
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#migrated ? describeDatabaseFault(error) : describeFaultWhileMigrating(error);
    }
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

async function versionOf(db: Kysely<Tables>): Promise<number> {
  const row = await db
    .selectFrom("registry_version")
    .select("version")
    .where("id", "=", 1)
    .executeTakeFirst();
  return row?.version ?? 0;
}
