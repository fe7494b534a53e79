import type { Kysely, Transaction } from "kysely";
import type { Tables } from "./tables.ts";
import { ulid } from "./ulid.ts";

/** Which gateways run on this registry, and the upstreams that the configuration of each names. */
export interface RunningStore {
  /** Says that this gateway runs with these configured upstreams; returns how to say that it has ended. */
  announce(names: readonly string[]): Promise<() => Promise<void>>;
  /** Names, in lower case, that the configurations of all running gateways have. */
  configured(): Promise<ReadonlySet<string>>;
}

/** Migration: the running gateways. */
export async function runningTable(db: Transaction<Tables>): Promise<void> {
  await db.schema
    .createTable("running_gateways")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("pid", "integer", (column) => column.notNull())
    .addColumn("started_at", "bigint", (column) => column.notNull())
    .addColumn("names", "text", (column) => column.notNull())
    .execute();
}

/**
 * The store over the tables of a registry. One file has one host, so a gateway that ended without saying so is known by
 * its process, which is gone.
 */
export function createRunningStore(db: Kysely<Tables>, now: () => number): RunningStore {
  const startedAt = Math.round(performance.timeOrigin);
  const lives = ({ pid, started_at }: { readonly pid: number; readonly started_at: number }) =>
    pid === process.pid ? started_at === startedAt : isProcess(pid);
  return {
    async announce(names) {
      const id = ulid(now());
      const values = { id, pid: process.pid, started_at: startedAt, names: JSON.stringify(names) };
      await db.transaction().execute(async (trx) => {
        const gone = (await trx.selectFrom("running_gateways").selectAll().execute()).filter(
          (row) => !lives(row),
        );
        const ids = gone.map((row) => row.id);
        await trx.deleteFrom("running_gateways").where("id", "in", ids).execute();
        await trx.insertInto("running_gateways").values(values).execute();
      });
      return async () => {
        await db.deleteFrom("running_gateways").where("id", "=", id).execute();
      };
    },
    async configured() {
      const rows = (await db.selectFrom("running_gateways").selectAll().execute()).filter(lives);
      const names = rows.flatMap((row) => JSON.parse(row.names) as string[]);
      return new Set(names.map((name) => name.toLowerCase()));
    },
  };
}

function isProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
