import type { Kysely } from "kysely";

/** The admins' overrides of plugin modes, and the last changes. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("plugin_overrides")
    .ifNotExists()
    .addColumn("scope", "text", (column) => column.primaryKey())
    .addColumn("rev", "bigint", (column) => column.notNull())
    .addColumn("record", "text", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("audit_events")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("at", "bigint", (column) => column.notNull())
    .addColumn("plugin", "text", (column) => column.notNull())
    .addColumn("scope", "text", (column) => column.notNull())
    .addColumn("previous", "text", (column) => column.notNull())
    .addColumn("next", "text", (column) => column.notNull())
    .addColumn("rev", "bigint", (column) => column.notNull())
    .addColumn("set_by", "text", (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex("audit_events_by_time")
    .ifNotExists()
    .on("audit_events")
    .columns(["at", "id"])
    .execute();
}
