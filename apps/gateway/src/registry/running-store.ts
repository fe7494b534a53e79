import { type Kysely, sql } from "kysely";
import type { RegistryDatabase } from "./registry-database.ts";
import type { Tables } from "./tables.ts";
import { ulid } from "./ulid.ts";

/** Which gateways run on this registry, and the upstreams that the configuration of each names. */
export interface RunningStore {
  /** Says that this gateway runs with these configured upstreams; returns how to say that it has ended. */
  announce(names: readonly string[]): Promise<() => Promise<void>>;
  /** Names, in lower case, that the configurations of all running gateways have. */
  configured(): Promise<ReadonlySet<string>>;
}

type Row = Tables["running_gateways"];

/** How it is known which of the gateways that wrote themselves down still run. */
export type Liveness =
  /** All run on this host: their processes are looked for. */
  | { readonly kind: "process" }
  /** They run anywhere: each says every `beatMs`, by the database's clock, that it does, and is gone after `goneMs`. */
  | { readonly kind: "beat"; readonly beatMs: number; readonly goneMs: number };

/** Milliseconds since 1970 by the clock of the database, which all replicas share. */
const databaseNow = sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint`;

/** The store over the tables of a registry. */
export function createRunningStore(database: RegistryDatabase, now: () => number): RunningStore {
  const { liveness } = database;
  const startedAt = Math.round(performance.timeOrigin);
  const at = () => (liveness.kind === "beat" ? databaseNow : sql<number>`${now()}`);

  const living = async (db: Kysely<Tables>): Promise<{ living: Row[]; gone: string[] }> => {
    const rows = await db.selectFrom("running_gateways").selectAll().select(at().as("now")).execute();
    const lives = (row: Row & { readonly now: number }) => {
      if (liveness.kind === "beat") return row.seen_at > row.now - liveness.goneMs;
      return row.pid === process.pid ? row.started_at === startedAt : isProcess(row.pid);
    };
    return { living: rows.filter(lives), gone: rows.filter((row) => !lives(row)).map(({ id }) => id) };
  };
  return {
    async announce(names) {
      const id = ulid(now());
      const own = { id, pid: process.pid, started_at: startedAt, names: JSON.stringify(names) };
      await database.note(async (db) => {
        const { gone } = await living(db);
        await db.deleteFrom("running_gateways").where("id", "in", gone).execute();
        await db
          .insertInto("running_gateways")
          .values({ ...own, seen_at: at() })
          // Noted again when the answer of the first time was lost.
          .onConflict((conflict) => conflict.column("id").doUpdateSet({ seen_at: at() }))
          .execute();
      });
      let beating: Promise<unknown> = Promise.resolve();
      const beat = () => {
        const said = database.note((db) =>
          db
            .insertInto("running_gateways")
            .values({ ...own, seen_at: at() })
            .onConflict((conflict) => conflict.column("id").doUpdateSet({ seen_at: at() }))
            .execute(),
        );
        // While the database is away nobody can ask who runs; the next beat after that says so again.
        beating = said.catch(() => undefined);
      };
      const timer = liveness.kind === "beat" ? setInterval(beat, liveness.beatMs).unref() : undefined;
      return async () => {
        clearInterval(timer);
        await beating;
        await database.note((db) => db.deleteFrom("running_gateways").where("id", "=", id).execute());
      };
    },
    async configured() {
      const rows = await database.read(living);
      const names = rows.living.flatMap((row) => JSON.parse(row.names) as string[]);
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
