import type { Kysely } from "kysely";

/** The gateways that run on the registry. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("running_gateways")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("pid", "integer", (column) => column.notNull())
    .addColumn("started_at", "bigint", (column) => column.notNull())
    .addColumn("names", "text", (column) => column.notNull())
    .execute();
}
