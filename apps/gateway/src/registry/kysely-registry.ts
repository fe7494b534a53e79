import type { GatewaySecret } from "../secret/gateway-secret.ts";
import { noteTarget, targetOfKey } from "./idempotency-keys.ts";
import { createPluginStore } from "./plugin-store.ts";
import type { Registry, RequestRegistry } from "./registry.ts";
import type { RegistryDatabase } from "./registry-database.ts";
import { createRegistryRecords } from "./registry-records.ts";
import { createRunningStore } from "./running-store.ts";

/** What a registry is made of beside its database. */
export interface KyselyRegistryOptions {
  /** Seals stored credentials. */
  readonly secret: GatewaySecret;
  /** Wall clock; `Date.now` by default. */
  readonly now?: (() => number) | undefined;
}

/** The registry on a database; the same code for every kind. */
export function createKyselyRegistry(
  database: RegistryDatabase,
  { secret, now = Date.now }: KyselyRegistryOptions,
): Registry {
  const deps = { moment: database.moment, secret, now };
  return {
    ...createRegistryRecords({ ...deps, session: database }),
    plugins: createPluginStore(database, now),
    running: createRunningStore(database, now),
    forRequest({ token, idempotency }): RequestRegistry {
      const session = database.session({ token, repeatable: idempotency !== undefined });
      const records = createRegistryRecords({ ...deps, session, idempotency });
      return Object.defineProperty(
        {
          ...records,
          written: async () => {
            if (idempotency === undefined) return undefined;
            const target = await session.read((db) => targetOfKey(db, idempotency));
            // What was cut off while it waited for its standby can be read, and may yet be lost with its server; a write
            // that comes after it is confirmed only with it.
            if (target !== undefined) await session.note((db) => noteTarget(db, idempotency, target));
            return target;
          },
        },
        "token",
        { get: () => session.token },
      ) as RequestRegistry;
    },
    migrate: database.migrate,
    health: database.health,
    acceptServer: database.acceptServer,
    describe: database.describe,
    onChange: database.onChange,
    close: database.close,
  };
}
