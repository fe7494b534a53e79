import type { Kysely } from "kysely";
import { GatewayError } from "../errors.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import type { Discovery, UpstreamRecord } from "./records.ts";
import type { Change, UpstreamInput } from "./registry.ts";
import { fromServer } from "./server-row.ts";
import { slugOf } from "./slug.ts";
import type { Tables } from "./tables.ts";
import { ulid } from "./ulid.ts";
import { toColumns, toUpstream } from "./upstream-row.ts";

/** Most characters of a failure that are kept. */
const maxReason = 500;
/** Items that are written by one statement: a round trip each would take long over a network. */
const rowsPerInsert = 200;

/** Reads one upstream or refuses with `not_found`. */
export async function readUpstream(
  db: Kysely<Tables>,
  secret: GatewaySecret,
  id: string,
): Promise<UpstreamRecord> {
  const row = await db.selectFrom("upstreams").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw missing(id);
  return toUpstream(row, secret);
}

/** Writes a new upstream with its implicit virtual server, and its catalogue when it is known already. */
export async function insertUpstream(
  trx: Kysely<Tables>,
  secret: GatewaySecret,
  input: UpstreamInput,
  nowMs: number,
  discovery?: Discovery,
): Promise<UpstreamRecord> {
  const id = ulid(nowMs);
  await refuseTakenName(trx, input.name, id);
  const slugs = new Set((await trx.selectFrom("upstreams").select("slug").execute()).map((row) => row.slug));
  await trx
    .insertInto("upstreams")
    .values({
      id,
      name: input.name,
      name_lower: input.name.toLowerCase(),
      slug: slugOf(input.name, (slug) => slugs.has(slug)),
      ...toColumns(input.definition, input.credentials, id, secret),
      source: input.source,
      state: "unknown",
      state_reason: null,
      self: null,
      refreshed_at: null,
      revision: 1,
      created_at: nowMs,
      updated_at: nowMs,
    })
    .execute();
  const server = fromServer(id, { name: input.name, gatewayIds: [id], names: "plain" }, nowMs);
  await trx.insertInto("servers").values(server).execute();
  if (discovery !== undefined) await writeDiscovery(trx, id, discovery, nowMs);
  return readUpstream(trx, secret, id);
}

/** Changes an upstream as it is then; a new name also renames its implicit virtual server, but never the slug. */
export async function changeUpstream(
  trx: Kysely<Tables>,
  secret: GatewaySecret,
  id: string,
  change: Change<UpstreamInput, UpstreamRecord>,
  nowMs: number,
): Promise<UpstreamRecord> {
  // The row is taken first, so that changes of it follow each other, and each is made of what the one before has left.
  const row = await trx
    .updateTable("upstreams")
    .set((eb) => ({ revision: eb("revision", "+", 1), updated_at: nowMs }))
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirst();
  if (row === undefined) throw missing(id);
  const before = toUpstream(row, secret);
  const input = typeof change === "function" ? change(before) : change;
  if (input.name !== undefined) await refuseTakenName(trx, input.name, id);
  const named =
    input.name === undefined
      ? {}
      : { name: input.name, name_lower: input.name.toLowerCase(), updated_at: nowMs };
  const { definition = before.definition, credentials = before.credentials, source = before.source } = input;
  await trx
    .updateTable("upstreams")
    .set({ ...named, ...toColumns(definition, credentials, id, secret), source })
    .where("id", "=", id)
    .execute();
  if (input.name !== undefined) await trx.updateTable("servers").set(named).where("id", "=", id).execute();
  return readUpstream(trx, secret, id);
}

/** Deletes an upstream with its catalogue and its implicit virtual server. */
export async function removeUpstream(trx: Kysely<Tables>, id: string): Promise<void> {
  const { numDeletedRows } = await trx.deleteFrom("upstreams").where("id", "=", id).executeTakeFirst();
  if (numDeletedRows === 0n) throw missing(id);
  await trx.deleteFrom("servers").where("id", "=", id).execute();
}

/** Stores the outcome of listing an upstream; after a failure the last good catalogue stays. */
export async function writeDiscovery(
  trx: Kysely<Tables>,
  id: string,
  outcome: Discovery | { readonly failure: string },
  nowMs: number,
): Promise<void> {
  const found =
    "failure" in outcome
      ? { state: "unreachable", state_reason: outcome.failure.slice(0, maxReason) }
      : { state: "reachable", state_reason: null, self: JSON.stringify(outcome.self), refreshed_at: nowMs };
  const { numUpdatedRows } = await trx
    .updateTable("upstreams")
    .set(found)
    .where("id", "=", id)
    .executeTakeFirst();
  if (numUpdatedRows === 0n) throw missing(id);
  if ("failure" in outcome) return;
  await trx.deleteFrom("catalogue_items").where("upstream_id", "=", id).execute();
  const rows = catalogueRows(id, outcome.items);
  for (let at = 0; at < rows.length; at += rowsPerInsert) {
    await trx
      .insertInto("catalogue_items")
      .values(rows.slice(at, at + rowsPerInsert))
      .execute();
  }
}

/** A name that is listed twice is kept once; one with a NUL in it no PostgreSQL can keep. */
function catalogueRows(id: string, items: Discovery["items"]): Tables["catalogue_items"][] {
  const seen = new Set<string>();
  return items.flatMap(({ kind, name, body }, position) => {
    const key = `${kind} ${name}`;
    if (seen.has(key) || name.includes("\u0000")) return [];
    seen.add(key);
    return [{ upstream_id: id, kind, name, position, body: JSON.stringify(body) }];
  });
}

function missing(id: string): GatewayError {
  return new GatewayError("not_found", `there is no gateway "${id}"`);
}

async function refuseTakenName(trx: Kysely<Tables>, name: string, id: string): Promise<void> {
  for (const table of ["upstreams", "servers"] as const) {
    const other = await trx
      .selectFrom(table)
      .select("id")
      .where("name_lower", "=", name.toLowerCase())
      .where("id", "!=", id)
      .executeTakeFirst();
    if (other === undefined) continue;
    const what = table === "upstreams" ? "gateway" : "server";
    throw new GatewayError("conflict", `a ${what} named "${name}" exists already`, {
      details: { id: other.id },
    });
  }
}
