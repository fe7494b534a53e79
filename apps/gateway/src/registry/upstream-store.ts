import type { Kysely, Transaction } from "kysely";
import { GatewayError } from "../errors.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import type { Discovery, UpstreamRecord } from "./records.ts";
import type { UpstreamInput } from "./registry.ts";
import { fromServer } from "./server-row.ts";
import { slugOf } from "./slug.ts";
import type { Tables } from "./tables.ts";
import { ulid } from "./ulid.ts";
import { toColumns, toUpstream } from "./upstream-row.ts";

/** Most characters of a failure that are kept. */
const maxReason = 500;

/** Reads one upstream or refuses with `not_found`. */
export async function readUpstream(
  db: Kysely<Tables> | Transaction<Tables>,
  secret: GatewaySecret,
  id: string,
): Promise<UpstreamRecord> {
  const row = await db.selectFrom("upstreams").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw new GatewayError("not_found", `there is no gateway "${id}"`);
  return toUpstream(row, secret);
}

/** Writes a new upstream with its implicit virtual server, and its catalogue when it is known already. */
export async function insertUpstream(
  trx: Transaction<Tables>,
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

/** Changes an upstream; a new name also renames its implicit virtual server, but never the slug. */
export async function changeUpstream(
  trx: Transaction<Tables>,
  secret: GatewaySecret,
  id: string,
  input: Partial<UpstreamInput>,
  nowMs: number,
): Promise<UpstreamRecord> {
  const before = await readUpstream(trx, secret, id);
  if (input.name !== undefined) {
    await refuseTakenName(trx, input.name, id);
    const named = { name: input.name, name_lower: input.name.toLowerCase(), updated_at: nowMs };
    await trx.updateTable("upstreams").set(named).where("id", "=", id).execute();
    await trx.updateTable("servers").set(named).where("id", "=", id).execute();
  }
  await trx
    .updateTable("upstreams")
    .set({
      ...toColumns(
        input.definition ?? before.definition,
        input.credentials ?? before.credentials,
        id,
        secret,
      ),
      source: input.source ?? before.source,
      revision: before.revision + 1,
      updated_at: nowMs,
    })
    .where("id", "=", id)
    .execute();
  return readUpstream(trx, secret, id);
}

/** Stores the outcome of listing an upstream; after a failure the last good catalogue stays. */
export async function writeDiscovery(
  trx: Transaction<Tables>,
  id: string,
  outcome: Discovery | { readonly failure: string },
  nowMs: number,
): Promise<void> {
  if ("failure" in outcome) {
    const reason = outcome.failure.slice(0, maxReason);
    const state = { state: "unreachable", state_reason: reason };
    await trx.updateTable("upstreams").set(state).where("id", "=", id).execute();
    return;
  }
  await trx
    .updateTable("upstreams")
    .set({
      state: "reachable",
      state_reason: null,
      self: JSON.stringify(outcome.self),
      refreshed_at: nowMs,
    })
    .where("id", "=", id)
    .execute();
  await trx.deleteFrom("catalogue_items").where("upstream_id", "=", id).execute();
  for (const [position, item] of outcome.items.entries()) {
    const body = JSON.stringify(item.body);
    await trx
      .insertInto("catalogue_items")
      .values({ upstream_id: id, kind: item.kind, name: item.name, position, body })
      .onConflict((conflict) => conflict.columns(["upstream_id", "kind", "name"]).doNothing())
      .execute();
  }
}

async function refuseTakenName(trx: Transaction<Tables>, name: string, id: string): Promise<void> {
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
