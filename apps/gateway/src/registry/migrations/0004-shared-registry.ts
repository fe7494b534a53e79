import type { Kysely } from "kysely";
import type { Tables } from "../tables.ts";

/** What replicas on several hosts need: a version to look for changes by, signs of life, keys of writes done once. */
export async function up(db: Kysely<Tables>): Promise<void> {
  await db.schema
    .createTable("registry_version")
    .addColumn("id", "integer", (column) => column.primaryKey())
    .addColumn("version", "bigint", (column) => column.notNull())
    .execute();
  await db.insertInto("registry_version").values({ id: 1, version: 1 }).execute();
  await db.schema
    .alterTable("running_gateways")
    .addColumn("seen_at", "bigint", (column) => column.notNull().defaultTo(0))
    .execute();
  await db.schema
    .createTable("idempotency_keys")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("fingerprint", "text", (column) => column.notNull())
    .addColumn("target", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex("idempotency_keys_by_time")
    .on("idempotency_keys")
    .column("created_at")
    .execute();
}
