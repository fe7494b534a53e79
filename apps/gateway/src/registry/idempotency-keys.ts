import type { Kysely } from "kysely";
import { GatewayError } from "../errors.ts";
import type { IdempotencyKey } from "./registry.ts";
import type { Tables } from "./tables.ts";

/** For how long a key is remembered. */
const keepMs = 86_400_000;
/** Old keys that are removed with a new one. */
const pruned = 20;

/**
 * What was written under a key; undefined when nothing was.
 *
 * @throws {GatewayError} `validation_failed` when it was used for something else
 */
export async function targetOfKey(
  db: Kysely<Tables>,
  { id, fingerprint }: IdempotencyKey,
): Promise<string | undefined> {
  const row = await db.selectFrom("idempotency_keys").selectAll().where("id", "=", id).executeTakeFirst();
  if (row !== undefined && row.fingerprint !== fingerprint) {
    throw new GatewayError("validation_failed", "this Idempotency-Key was used for another request", {
      details: { path: "Idempotency-Key" },
    });
  }
  return row?.target;
}

/**
 * Takes a key for the transaction that writes under it. Of two transactions with one key the second waits here for the
 * first.
 *
 * @returns what an earlier transaction has written under it; undefined when the key is this one's
 */
export async function claimKey(
  db: Kysely<Tables>,
  key: IdempotencyKey,
  nowMs: number,
): Promise<string | undefined> {
  const { id, fingerprint } = key;
  const { numInsertedOrUpdatedRows } = await db
    .insertInto("idempotency_keys")
    .values({ id, fingerprint, target: "", created_at: nowMs })
    .onConflict((conflict) => conflict.column("id").doNothing())
    .executeTakeFirst();
  if (numInsertedOrUpdatedRows !== 1n) return targetOfKey(db, key);
  const old = db
    .selectFrom("idempotency_keys")
    .select("id")
    .where("created_at", "<", nowMs - keepMs)
    .orderBy("created_at")
    .limit(pruned);
  await db.deleteFrom("idempotency_keys").where("id", "in", old).execute();
  return undefined;
}

/** Notes what the transaction that has claimed a key has written. */
export async function noteTarget(db: Kysely<Tables>, { id }: IdempotencyKey, target: string): Promise<void> {
  await db.updateTable("idempotency_keys").set({ target }).where("id", "=", id).execute();
}
