import { HandleEmptyInListsPlugin, Kysely, replaceWithNoncontingentExpression } from "kysely";
import { GatewayError } from "../errors.ts";
import { fileTrouble } from "../secret/private-file.ts";
import { createKyselyRegistry, type KyselyRegistryOptions } from "./kysely-registry.ts";
import { migrateToLatest } from "./migrations.ts";
import type { Registry } from "./registry.ts";
import type { RegistryDatabase } from "./registry-database.ts";
import { createSqliteDialect, type SqliteOptions } from "./sqlite-dialect.ts";
import { describeSqliteFault } from "./sqlite-fault.ts";
import type { Tables } from "./tables.ts";

/** How the registry's file is opened and watched. */
export interface SqliteRegistryOptions extends SqliteOptions, KyselyRegistryOptions {
  /** Milliseconds between two looks for changes of other processes. */
  readonly pollMs: number;
}

/** Opens the registry in a SQLite file and brings its tables up to date. */
export async function openSqliteRegistry(options: SqliteRegistryOptions): Promise<Registry> {
  const database = createSqliteDatabase(options);
  try {
    await database.migrate();
  } catch (cause) {
    await database.close();
    throw fileTrouble(options.path, "registry", cause);
  }
  return createKyselyRegistry(database, options);
}

function createSqliteDatabase(options: SqliteRegistryOptions): RegistryDatabase {
  const { dialect, dataVersion } = createSqliteDialect(options);
  const db = new Kysely<Tables>({
    dialect,
    plugins: [new HandleEmptyInListsPlugin({ strategy: replaceWithNoncontingentExpression })],
  });
  const listeners = new Set<() => void>();
  const changed = () => {
    for (const listener of listeners) listener();
  };
  let seen = dataVersion();
  const poll = setInterval(() => {
    const current = dataVersion();
    if (current === seen) return;
    seen = current;
    changed();
  }, options.pollMs).unref();

  type Work<T> = (db: Kysely<Tables>) => Promise<T>;
  const transaction = <T>(work: Work<T>) => guarded(() => db.transaction().execute(work));
  const session = {
    read: <T>(work: Work<T>) => guarded(() => work(db)),
    async change<T>(work: Work<T>) {
      const result = await transaction(work);
      changed();
      return result;
    },
    note: transaction,
    // One file: every read sees every write.
    token: undefined,
  };
  return {
    ...session,
    session: () => session,
    moment: transaction,
    liveness: { kind: "process" },
    // `begin immediate` lets one process in at a time.
    migrate: () => migrateToLatest(db),
    async health() {
      try {
        await session.read((kysely) =>
          kysely.selectFrom("kysely_migration").select("name").limit(1).execute(),
        );
        return { status: "ok" };
      } catch {
        return { status: "down", reason: "file" };
      }
    },
    async acceptServer() {
      throw new GatewayError("conflict", "the registry is in a SQLite file, of which there is no other copy");
    },
    describe: () => ({ kind: "sqlite" }),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      clearInterval(poll);
      await db.destroy();
    },
  };
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw describeSqliteFault(error);
  }
}
