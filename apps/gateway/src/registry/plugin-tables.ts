import type { Transaction } from "kysely";
import type { Tables } from "./tables.ts";

/** Migration: the admins' overrides of plugin modes, and the last changes. */
export async function pluginTables(db: Transaction<Tables>): Promise<void> {
  await db.schema
    .createTable("plugin_overrides")
    .addColumn("scope", "text", (column) => column.primaryKey())
    .addColumn("rev", "bigint", (column) => column.notNull())
    .addColumn("record", "text", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("audit_events")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("at", "bigint", (column) => column.notNull())
    .addColumn("plugin", "text", (column) => column.notNull())
    .addColumn("scope", "text", (column) => column.notNull())
    .addColumn("previous", "text", (column) => column.notNull())
    .addColumn("next", "text", (column) => column.notNull())
    .addColumn("rev", "bigint", (column) => column.notNull())
    .addColumn("set_by", "text", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("audit_events_by_time").on("audit_events").columns(["at", "id"]).execute();
}
