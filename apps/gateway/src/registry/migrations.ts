import { type Kysely, sql, type Transaction } from "kysely";
import { pluginTables } from "./plugin-tables.ts";
import { runningTable } from "./running-store.ts";
import type { Tables } from "./tables.ts";

interface Migration {
  readonly id: string;
  up(db: Transaction<Tables>): Promise<void>;
}

const migrations: readonly Migration[] = [
  {
    id: "0001-registry",
    async up(db) {
      await db.schema
        .createTable("upstreams")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("name", "text", (column) => column.notNull())
        .addColumn("name_lower", "text", (column) => column.notNull().unique())
        .addColumn("slug", "text", (column) => column.notNull().unique())
        .addColumn("definition", "text", (column) => column.notNull())
        .addColumn("credentials", "text")
        .addColumn("source", "text", (column) => column.notNull())
        .addColumn("state", "text", (column) => column.notNull())
        .addColumn("state_reason", "text")
        .addColumn("self", "text")
        .addColumn("refreshed_at", "bigint")
        .addColumn("revision", "bigint", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("updated_at", "bigint", (column) => column.notNull())
        .execute();
      await db.schema
        .createTable("catalogue_items")
        .addColumn("upstream_id", "text", (column) =>
          column.notNull().references("upstreams.id").onDelete("cascade"),
        )
        .addColumn("kind", "text", (column) => column.notNull())
        .addColumn("name", "text", (column) => column.notNull())
        .addColumn("position", "integer", (column) => column.notNull())
        .addColumn("body", "text", (column) => column.notNull())
        .addPrimaryKeyConstraint("catalogue_items_key", ["upstream_id", "kind", "name"])
        .execute();
      await db.schema
        .createIndex("catalogue_items_by_name")
        .on("catalogue_items")
        .columns(["kind", "name"])
        .execute();
      await db.schema
        .createTable("servers")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("name", "text", (column) => column.notNull())
        .addColumn("name_lower", "text", (column) => column.notNull().unique())
        .addColumn("definition", "text", (column) => column.notNull())
        .addColumn("revision", "bigint", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("updated_at", "bigint", (column) => column.notNull())
        .execute();
    },
  },
  { id: "0002-plugins", up: pluginTables },
  { id: "0003-running-gateways", up: runningTable },
];

/**
 * Brings the tables up to date, in one transaction, so that two processes that start at once on one file do
 * it once.
 */
export async function migrate(db: Kysely<Tables>, nowMs: number): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await sql`create table if not exists schema_migrations (id text primary key, applied_at bigint not null)`.execute(
      trx,
    );
    const rows = await trx.selectFrom("schema_migrations").select("id").execute();
    const applied = new Set(rows.map((row) => row.id));
    for (const migration of migrations) {
      if (applied.has(migration.id)) continue;
      await migration.up(trx);
      await trx.insertInto("schema_migrations").values({ id: migration.id, applied_at: nowMs }).execute();
    }
  });
}
