import { randomUUID } from "node:crypto";
import { DatabaseError } from "./errors.ts";
import type { PooledConnection } from "./pooled-connection.ts";
import { ensureTable } from "./tables.ts";

/** The branch written on this timeline of the server, or undefined when nobody has written one. */
export async function readBranch(
  connection: PooledConnection,
  timeline: number,
): Promise<string | undefined> {
  try {
    const { rows } = await connection.query<{ branch: string }>(
      "select branch::text as branch from gatewright_fence where timeline = $1",
      [timeline],
    );
    return rows[0]?.branch;
  } catch (error) {
    if (DatabaseError.is(error) && error.sqlState === "42P01") return undefined;
    throw error;
  }
}

/** Writes a branch for this timeline unless somebody has done so before, and returns the one that is there. */
export async function writeBranch(connection: PooledConnection, timeline: number): Promise<string> {
  await ensureTable(connection, "gatewright_fence");
  await connection.query(
    "insert into gatewright_fence (timeline, branch) values ($1, $2) on conflict do nothing",
    [timeline, randomUUID()],
  );
  const branch = await readBranch(connection, timeline);
  if (branch === undefined) throw new Error("The branch that was just written is not there.");
  return branch;
}
