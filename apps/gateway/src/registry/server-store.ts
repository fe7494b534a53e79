import type { Kysely } from "kysely";
import { GatewayError } from "../errors.ts";
import type { ServerRecord } from "./records.ts";
import type { ServerInput } from "./registry.ts";
import { fromServer, serverDefinition, toServer } from "./server-row.ts";
import type { Tables } from "./tables.ts";
import { ulid } from "./ulid.ts";

/** Reads one virtual server or refuses with `not_found`. */
export async function readServer(db: Kysely<Tables>, id: string): Promise<ServerRecord> {
  const row = await db.selectFrom("servers").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw missing(id);
  return toServer(row);
}

/** Writes a new virtual server. */
export async function insertServer(
  trx: Kysely<Tables>,
  input: ServerInput,
  nowMs: number,
): Promise<ServerRecord> {
  const row = fromServer(ulid(nowMs), input, nowMs);
  await check(trx, row.id, input);
  await trx.insertInto("servers").values(row).execute();
  return toServer(row);
}

/** Changes a virtual server that a user made; the implicit one of an upstream only follows its upstream. */
export async function changeServer(
  trx: Kysely<Tables>,
  id: string,
  input: Partial<ServerInput>,
  nowMs: number,
): Promise<ServerRecord> {
  // The row is taken first, so that changes of it follow each other, and each is made of what the one before has left.
  const row = await trx
    .updateTable("servers")
    .set((eb) => ({ revision: eb("revision", "+", 1), updated_at: nowMs }))
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirst();
  if (row === undefined) throw missing(id);
  await refuseImplicit(trx, id);
  const after = { ...toServer(row), ...input };
  await check(trx, id, after);
  const { name } = after;
  await trx
    .updateTable("servers")
    .set({ name, name_lower: name.toLowerCase(), definition: serverDefinition(after) })
    .where("id", "=", id)
    .execute();
  return readServer(trx, id);
}

/** Deletes a virtual server that a user made. */
export async function removeServer(trx: Kysely<Tables>, id: string): Promise<void> {
  await readServer(trx, id);
  await refuseImplicit(trx, id);
  await trx.deleteFrom("servers").where("id", "=", id).execute();
}

function missing(id: string): GatewayError {
  return new GatewayError("not_found", `there is no server "${id}"`);
}

async function refuseImplicit(trx: Kysely<Tables>, id: string): Promise<void> {
  const upstream = await trx.selectFrom("upstreams").select("id").where("id", "=", id).executeTakeFirst();
  if (upstream !== undefined) {
    throw new GatewayError("conflict", `server "${id}" belongs to the gateway of that id; change it there`);
  }
}

async function check(trx: Kysely<Tables>, id: string, input: ServerInput): Promise<void> {
  if (input.names === "plain" && input.gatewayIds.length !== 1) {
    throw new GatewayError("validation_failed", "plain names need exactly one gateway", {
      details: { path: "body.names" },
    });
  }
  const taken = await trx
    .selectFrom("servers")
    .select("id")
    .where("name_lower", "=", input.name.toLowerCase())
    .where("id", "!=", id)
    .executeTakeFirst();
  if (taken !== undefined) {
    throw new GatewayError("conflict", `a server named "${input.name}" exists already`, {
      details: { id: taken.id },
    });
  }
  const known = await trx.selectFrom("upstreams").select("id").where("id", "in", input.gatewayIds).execute();
  const missing = input.gatewayIds.filter((wanted) => !known.some((row) => row.id === wanted));
  if (missing.length > 0) {
    throw new GatewayError("validation_failed", `there is no gateway ${missing.join(", ")}`, {
      details: { path: "gatewayIds" },
    });
  }
}
