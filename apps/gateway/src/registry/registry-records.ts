import type { Kysely } from "kysely";
import { GatewayError } from "../errors.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import { itemsOf, pageOf, toItem } from "./catalogue-pages.ts";
import { claimKey, noteTarget } from "./idempotency-keys.ts";
import type { IdempotencyKey, RegistryRecords } from "./registry.ts";
import type { RegistrySession } from "./registry-database.ts";
import { toServer } from "./server-row.ts";
import { changeServer, insertServer, readServer, removeServer } from "./server-store.ts";
import type { Tables } from "./tables.ts";
import { toUpstream } from "./upstream-row.ts";
import {
  changeUpstream,
  insertUpstream,
  readUpstream,
  removeUpstream,
  writeDiscovery,
} from "./upstream-store.ts";

/** What the records are read and written with. */
export interface RecordsDeps {
  readonly session: RegistrySession;
  /** Reads of one moment. */
  readonly moment: <T>(work: (db: Kysely<Tables>) => Promise<T>) => Promise<T>;
  /** Seals stored credentials. */
  readonly secret: GatewaySecret;
  /** Wall clock. */
  readonly now: () => number;
  /** The one write that is made is made once under this key. */
  readonly idempotency?: IdempotencyKey | undefined;
}

/** How often a change is begun anew because others took the slug that was free. */
const maxRaces = 5;

/** The records over the tables of a registry, whichever database these are in. */
export function createRegistryRecords(deps: RecordsDeps): RegistryRecords {
  const { session, secret, now, idempotency } = deps;

  /** A change of a record; under a key that was used already, what it wrote then is read by `again`. */
  const change = <T extends { readonly id: string } | undefined>(
    work: (db: Kysely<Tables>) => Promise<T>,
    again: (db: Kysely<Tables>, target: string) => Promise<T>,
    idOf: (result: T) => string,
  ): Promise<T> =>
    racing(() =>
      session.change(async (db) => {
        if (idempotency === undefined) return work(db);
        const before = await claimKey(db, idempotency, now());
        if (before !== undefined) return again(db, before);
        const result = await work(db);
        await noteTarget(db, idempotency, idOf(result));
        return result;
      }),
    );
  const upstreamAgain = (db: Kysely<Tables>, id: string) => readUpstream(db, secret, id);
  const gone = async () => undefined;
  const ownId = (record: { readonly id: string }) => record.id;

  return {
    upstreams: async (query) => {
      const { items, total } = await session.read((db) => pageOf(db, "upstreams", query));
      return { items: items.map((row) => toUpstream(row, secret)), total };
    },
    upstream: (id) => session.read((db) => readUpstream(db, secret, id)),
    createUpstream: (input, discovery) =>
      change((db) => insertUpstream(db, secret, input, now(), discovery), upstreamAgain, ownId),
    updateUpstream: (id, input) =>
      change((db) => changeUpstream(db, secret, id, input, now()), upstreamAgain, ownId),
    deleteUpstream: (id) =>
      change(
        (db) => removeUpstream(db, id).then(gone),
        gone,
        () => id,
      ),
    saveDiscovery: (id, outcome) => session.change((db) => writeDiscovery(db, id, outcome, now())),
    servers: async (query) => {
      const { items, total } = await session.read((db) => pageOf(db, "servers", query));
      return { items: items.map(toServer), total };
    },
    server: (id) => session.read((db) => readServer(db, id)),
    createServer: (input) => change((db) => insertServer(db, input, now()), readServer, ownId),
    updateServer: (id, input) => change((db) => changeServer(db, id, input, now()), readServer, ownId),
    deleteServer: (id) =>
      change(
        (db) => removeServer(db, id).then(gone),
        gone,
        () => id,
      ),
    items: (kind, query) => session.read((db) => itemsOf(db, kind, query)),
    contents: () =>
      deps.moment(async (db) => ({
        upstreams: (await db.selectFrom("upstreams").selectAll().orderBy("id").execute()).map((row) =>
          toUpstream(row, secret),
        ),
        servers: (await db.selectFrom("servers").selectAll().orderBy("id").execute()).map(toServer),
        items: (
          await db
            .selectFrom("catalogue_items")
            .selectAll()
            .orderBy("upstream_id")
            .orderBy("position")
            .execute()
        ).map(toItem),
      })),
  };
}

/** Makes a change anew when others were faster: a slug that was free is taken now. */
async function racing<T>(change: () => Promise<T>): Promise<T> {
  for (let races = 0; ; races++) {
    try {
      return await change();
    } catch (error) {
      if (!isTakenSlug(error)) throw error;
      if (races === maxRaces)
        throw new GatewayError("conflict", "others keep taking names like this at the same time");
    }
  }
}

function isTakenSlug(error: unknown): boolean {
  if (!GatewayError.is(error) || error.code !== "conflict") return false;
  return String(error.facts.details?.["constraint"]).includes("slug");
}
