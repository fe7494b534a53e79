import type { QueryResult } from "./query-result.ts";

/** The tables this package writes to; it creates them when first needed, unless a migration has done so. */
export const resilienceTables = {
  /** Markers of transactions with `settle: true`. */
  gatewright_tx: `create table if not exists gatewright_tx (
    id uuid primary key, pid int not null, backend_start timestamptz not null,
    created_at timestamptz not null default now())`,
  /** The branch of each timeline, for fencing. */
  gatewright_fence: `create table if not exists gatewright_fence (
    timeline int primary key, branch uuid not null, created_at timestamptz not null default now())`,
} as const;

/** Something that runs statements. */
interface Runner {
  query(text: string, values?: readonly unknown[]): Promise<QueryResult>;
}

/** Creates one of the tables, outside a transaction, unless it is there; a role that may not create tables needs a migration for it. */
export async function ensureTable(runner: Runner, name: keyof typeof resilienceTables): Promise<void> {
  // Even `if not exists` asks for the right to create.
  const { rows } = await runner.query("select to_regclass($1) is not null as there", [name]);
  if (rows[0]?.["there"] === true) return;
  await runner.query("begin");
  try {
    // Replicas that begin together would trip over each other in the catalogue.
    await runner.query("select pg_advisory_xact_lock(hashtextextended('gatewright tables', 0))");
    await runner.query(resilienceTables[name]);
    await runner.query("commit");
  } catch (error) {
    await runner.query("rollback").catch(() => {}); // The pool sees an open transaction and destroys the connection.
    throw error;
  }
}
