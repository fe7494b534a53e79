import type { Kysely } from "kysely";
import type { Migration } from "kysely/migration";
import { up as registry } from "./migrations/0001-registry.ts";
import { up as plugins } from "./migrations/0002-plugins.ts";
import { up as runningGateways } from "./migrations/0003-running-gateways.ts";
import { up as sharedRegistry } from "./migrations/0004-shared-registry.ts";
import type { Tables } from "./tables.ts";

const migrations: Readonly<Record<string, Migration>> = {
  "0001-registry": { up: registry },
  "0002-plugins": { up: plugins },
  "0003-running-gateways": { up: runningGateways },
  "0004-shared-registry": { up: sharedRegistry },
};

/**
 * Brings the tables up to date by Kysely's Migrator, in one transaction. Processes that share the database have to come
 * here one at a time. Tables of a later version are left as they are.
 */
export async function migrateToLatest(db: Kysely<Tables>): Promise<void> {
  if (!(await isLatest(db))) await runMigrator(db, {});
}

/** Like {@link migrateToLatest}, as a part of the transaction that `db` runs everything in. */
export async function migrateInTransaction(db: Kysely<Tables>): Promise<void> {
  await runMigrator(db, { disableTransactions: true });
}

async function runMigrator(db: Kysely<Tables>, options: { disableTransactions?: boolean }): Promise<void> {
  const { Migrator } = await import("kysely/migration");
  const provider = { getMigrations: async () => ({ ...migrations }) };
  const { error } = await new Migrator({ db, provider, ...options }).migrateToLatest();
  if (error !== undefined) throw error;
}

/** Whether there is nothing to do, as most starts find; that is seen without the migrator. */
export async function isLatest(db: Kysely<Tables>): Promise<boolean> {
  try {
    const rows = await db.selectFrom("kysely_migration").select("name").execute();
    const done = new Set(rows.map(({ name }) => name));
    return Object.keys(migrations).every((name) => done.has(name));
  } catch {
    // There is no such table, or no database: the migrator finds out which.
    return false;
  }
}
