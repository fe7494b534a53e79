import type { ControlRecord, ModeEvent, SavedOverride } from "@gatewright/plugin-framework";
import { parseScope, scopeText } from "@gatewright/plugin-framework";
import type { Page, PageQuery } from "./registry.ts";
import type { RegistryDatabase } from "./registry-database.ts";

/** Overrides of plugin modes and their last changes, kept where the registry is kept. */
export interface PluginStore {
  /** Every override that was ever set, as the pipeline takes them back. */
  overrides(): Promise<readonly SavedOverride[]>;
  /** Keeps a record unless a newer one of its scope is kept. */
  saveOverride(override: SavedOverride): Promise<void>;
  /** Adds a change under a name that all replicas give it; one that another replica has added is not added again. */
  addEvent(event: ModeEvent, id: string): Promise<void>;
  /** The last changes, the newest first. */
  events(query: Pick<PageQuery, "limit" | "offset">): Promise<Page<ModeEvent>>;
}

/** Most changes that are kept. */
const maxEvents = 1_000;

/** The store over the tables of a registry. */
export function createPluginStore(database: RegistryDatabase, now: () => number): PluginStore {
  return {
    async overrides() {
      const rows = await database.read((db) =>
        db.selectFrom("plugin_overrides").selectAll().orderBy("scope").execute(),
      );
      return rows.flatMap(({ scope: text, record }) => {
        const scope = parseScope(text);
        return scope === undefined ? [] : [{ scope, record: JSON.parse(record) as ControlRecord }];
      });
    },
    async saveOverride({ scope, record }) {
      const values = { rev: record.rev, record: JSON.stringify(record), updated_at: now() };
      await database.note((db) =>
        db
          .insertInto("plugin_overrides")
          .values({ scope: scopeText(scope), ...values })
          .onConflict((conflict) =>
            conflict.column("scope").doUpdateSet(values).where("plugin_overrides.rev", "<=", record.rev),
          )
          .execute(),
      );
    },
    async addEvent({ plugin, scope, previous, next, rev, setBy, at }, id) {
      await database.note(async (trx) => {
        await trx
          .insertInto("audit_events")
          .values({ id, at, plugin, scope, previous, next, rev, set_by: setBy })
          .onConflict((conflict) => conflict.column("id").doNothing())
          .execute();
        const oldest = await trx
          .selectFrom("audit_events")
          .select(["at", "id"])
          .orderBy("at", "desc")
          .orderBy("id", "desc")
          .offset(maxEvents)
          .limit(1)
          .executeTakeFirst();
        if (oldest === undefined) return;
        await trx
          .deleteFrom("audit_events")
          .where(({ eb, and, or }) =>
            or([eb("at", "<", oldest.at), and([eb("at", "=", oldest.at), eb("id", "<=", oldest.id)])]),
          )
          .execute();
      });
    },
    async events({ limit, offset }) {
      const { total, rows } = await database.read(async (db) => ({
        ...(await db
          .selectFrom("audit_events")
          .select((eb) => eb.fn.countAll<number>().as("total"))
          .executeTakeFirstOrThrow()),
        rows: await db
          .selectFrom("audit_events")
          .selectAll()
          .orderBy("at", "desc")
          .orderBy("rev", "desc")
          .limit(limit)
          .offset(offset)
          .execute(),
      }));
      const items = rows.map(
        ({ plugin, scope, previous, next, rev, set_by, at }) =>
          ({ plugin, scope, previous, next, rev: Number(rev), setBy: set_by, at: Number(at) }) as ModeEvent,
      );
      return { items, total: Number(total) };
    },
  };
}
