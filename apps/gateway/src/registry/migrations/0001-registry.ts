import type { Kysely } from "kysely";

/** Upstreams, their catalogues, virtual servers. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("upstreams")
    .ifNotExists()
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
  // Names and URIs are in no index: an entry of PostgreSQL's holds 2 704 bytes, and a URI may be longer.
  await db.schema
    .createTable("catalogue_items")
    .ifNotExists()
    .addColumn("upstream_id", "text", (column) =>
      column.notNull().references("upstreams.id").onDelete("cascade"),
    )
    .addColumn("kind", "text", (column) => column.notNull())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("position", "integer", (column) => column.notNull())
    .addColumn("body", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("catalogue_items_key", ["upstream_id", "position"])
    .execute();
  await db.schema
    .createTable("servers")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("name_lower", "text", (column) => column.notNull().unique())
    .addColumn("definition", "text", (column) => column.notNull())
    .addColumn("revision", "bigint", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .execute();
}
