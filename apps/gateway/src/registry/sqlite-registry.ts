import { HandleEmptyInListsPlugin, Kysely, replaceWithNoncontingentExpression } from "kysely";
import { GatewayError } from "../errors.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import { fileTrouble } from "../secret/private-file.ts";
import { migrate } from "./migrations.ts";
import { createPluginStore } from "./plugin-store.ts";
import type { CatalogueItem, ItemKind } from "./records.ts";
import type { Page, PageQuery, Registry } from "./registry.ts";
import { createRunningStore } from "./running-store.ts";
import { toServer } from "./server-row.ts";
import { changeServer, insertServer, readServer, removeServer } from "./server-store.ts";
import { createSqliteDialect, type SqliteOptions } from "./sqlite-dialect.ts";
import type { Tables } from "./tables.ts";
import { toUpstream } from "./upstream-row.ts";
import { changeUpstream, insertUpstream, readUpstream, writeDiscovery } from "./upstream-store.ts";

/** How the registry's file is opened and watched. */
export interface SqliteRegistryOptions extends SqliteOptions {
  /** Seals stored credentials. */
  readonly secret: GatewaySecret;
  /** Milliseconds between two looks for changes of other processes. */
  readonly pollMs: number;
  /** Wall clock; `Date.now` by default. */
  readonly now?: () => number;
}

/** Opens the registry in a SQLite file and brings its tables up to date. */
export async function openSqliteRegistry(options: SqliteRegistryOptions): Promise<Registry> {
  const { dialect, dataVersion } = createSqliteDialect(options);
  const { secret } = options;
  const now = options.now ?? Date.now;
  const db = new Kysely<Tables>({
    dialect,
    plugins: [new HandleEmptyInListsPlugin({ strategy: replaceWithNoncontingentExpression })],
  });
  try {
    await migrate(db, now());
  } catch (cause) {
    await db.destroy();
    throw fileTrouble(options.path, "registry", cause);
  }

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

  async function write<T>(work: Parameters<ReturnType<typeof db.transaction>["execute"]>[0]): Promise<T> {
    const result = await db.transaction().execute(work);
    changed();
    return result as T;
  }

  return {
    upstreams: async (query) => {
      const rows = await pageOf(db, "upstreams", query);
      return { items: rows.items.map((row) => toUpstream(row, secret)), total: rows.total };
    },
    upstream: (id) => readUpstream(db, secret, id),
    createUpstream: (input, discovery) =>
      write((trx) => insertUpstream(trx, secret, input, now(), discovery)),
    updateUpstream: (id, input) => write((trx) => changeUpstream(trx, secret, id, input, now())),
    deleteUpstream: (id) =>
      write(async (trx) => {
        const result = await trx.deleteFrom("upstreams").where("id", "=", id).executeTakeFirst();
        if (result.numDeletedRows === 0n) throw new GatewayError("not_found", `there is no gateway "${id}"`);
        await trx.deleteFrom("servers").where("id", "=", id).execute();
      }),
    saveDiscovery: (id, outcome) => write((trx) => writeDiscovery(trx, id, outcome, now())),
    servers: async (query) => {
      const rows = await pageOf(db, "servers", query);
      return { items: rows.items.map(toServer), total: rows.total };
    },
    server: (id) => readServer(db, id),
    createServer: (input) => write((trx) => insertServer(trx, input, now())),
    updateServer: (id, input) => write((trx) => changeServer(trx, id, input, now())),
    deleteServer: (id) => write((trx) => removeServer(trx, id)),
    items: (kind, query) => itemsOf(db, kind, query),
    contents: () =>
      db.transaction().execute(async (trx) => ({
        upstreams: (await trx.selectFrom("upstreams").selectAll().orderBy("id").execute()).map((row) =>
          toUpstream(row, secret),
        ),
        servers: (await trx.selectFrom("servers").selectAll().orderBy("id").execute()).map(toServer),
        items: (
          await trx
            .selectFrom("catalogue_items")
            .selectAll()
            .orderBy("upstream_id")
            .orderBy("position")
            .execute()
        ).map(toItem),
      })),
    plugins: createPluginStore(db, now),
    running: createRunningStore(db, now),
    ping: async () => {
      await db.selectFrom("schema_migrations").select("id").limit(1).execute();
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => {
      clearInterval(poll);
      await db.destroy();
    },
  };
}

async function pageOf<T extends "upstreams" | "servers">(db: Kysely<Tables>, table: T, query: PageQuery) {
  // One union of two tables: Kysely's types want one of them, and both have the columns that are used.
  let found = db.selectFrom(table as "upstreams");
  if (query.name !== undefined) found = found.where("name", "=", query.name);
  if (query.ids !== undefined) found = found.where("id", "in", query.ids);
  const { total } = await found
    .select((eb) => eb.fn.countAll<number>().as("total"))
    .executeTakeFirstOrThrow();
  const rows = await found.selectAll().orderBy("id").limit(query.limit).offset(query.offset).execute();
  return { items: rows as unknown as import("kysely").Selectable<Tables[T]>[], total: Number(total) };
}

async function itemsOf(db: Kysely<Tables>, kind: ItemKind, query: PageQuery): Promise<Page<CatalogueItem>> {
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

function toItem(row: Tables["catalogue_items"]): CatalogueItem {
  return {
    upstreamId: row.upstream_id,
    kind: row.kind as ItemKind,
    name: row.name,
    body: JSON.parse(row.body),
  };
}
