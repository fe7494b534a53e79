import type { Kysely, Selectable } from "kysely";
import type { CatalogueItem, ItemKind } from "./records.ts";
import type { Page, PageQuery } from "./registry.ts";
import type { Tables } from "./tables.ts";

/** A page of upstreams or virtual servers, in the order of their making. */
export async function pageOf<T extends "upstreams" | "servers">(
  db: Kysely<Tables>,
  table: T,
  query: PageQuery,
): Promise<Page<Selectable<Tables[T]>>> {
  // One union of two tables: Kysely's types want one of them, and both have the columns that are used.
  let found = db.selectFrom(table as "upstreams");
  if (query.name !== undefined) found = found.where("name", "=", query.name);
  if (query.ids !== undefined) found = found.where("id", "in", query.ids);
  const { total } = await found
    .select((eb) => eb.fn.countAll<number>().as("total"))
    .executeTakeFirstOrThrow();
  const rows = await found.selectAll().orderBy("id").limit(query.limit).offset(query.offset).execute();
  return { items: rows as unknown as Selectable<Tables[T]>[], total: Number(total) };
}

/** A page of catalogue items of one kind, in the order of their upstreams. */
export async function itemsOf(
  db: Kysely<Tables>,
  kind: ItemKind,
  query: PageQuery,
): Promise<Page<CatalogueItem>> {
  let found = db.selectFrom("catalogue_items").where("kind", "=", kind);
  if (query.name !== undefined) found = found.where("name", "=", query.name);
  if (query.ids !== undefined) found = found.where("upstream_id", "in", query.ids);
  const { total } = await found
    .select((eb) => eb.fn.countAll<number>().as("total"))
    .executeTakeFirstOrThrow();
  const rows = await found
    .selectAll()
    .orderBy("upstream_id")
    .orderBy("position")
    .limit(query.limit)
    .offset(query.offset)
    .execute();
  return { items: rows.map(toItem), total: Number(total) };
}

/** The record that a row of `catalogue_items` stands for. */
export function toItem(row: Tables["catalogue_items"]): CatalogueItem {
  return {
    upstreamId: row.upstream_id,
    kind: row.kind as ItemKind,
    name: row.name,
    body: JSON.parse(row.body),
  };
}
