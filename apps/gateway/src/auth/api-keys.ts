import { hash, randomBytes } from "node:crypto";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { GatewayError } from "../errors.ts";
import { type Principal, principalOf } from "./principal.ts";

/** How every API key begins, so that one is told from a JWT, and found by scanners of leaked secrets. */
export const apiKeyPrefix = "gwk_";

type ApiKeyEntry = GatewayConfig["auth"]["apiKeys"][number];

/** A new key: 32 random bytes, so that its plain hash cannot be searched for. */
export function newApiKey(): { readonly key: string; readonly sha256: string } {
  const key = apiKeyPrefix + randomBytes(32).toString("base64url");
  return { key, sha256: hash("sha256", key) };
}

/** The configured API keys, checked in memory: the key itself is nowhere, only its SHA-256. */
export class ApiKeys {
  readonly #known: ReadonlyMap<string, Principal & { readonly expiresAtMs: number }>;
  readonly #now: () => number;

  constructor(entries: readonly ApiKeyEntry[], now: () => number = Date.now) {
    this.#now = now;
    this.#known = new Map(
      entries.map((entry) => {
        const { sha256, expiresAt } = entry;
        const expiresAtMs =
          expiresAt === undefined ? Number.POSITIVE_INFINITY : new Date(expiresAt).getTime();
        return [sha256.toLowerCase(), { ...principalOfKey(entry), expiresAtMs }];
      }),
    );
  }

  /**
   * Who a key stands for.
   *
   * @throws {GatewayError} `unauthorized` when nobody, or not any more
   */
  principalOf(key: string): Principal {
    const known = this.#known.get(hash("sha256", key));
    if (known === undefined) throw new GatewayError("unauthorized", "the API key is not valid");
    if (known.expiresAtMs <= this.#now()) throw new GatewayError("unauthorized", "the API key has expired");
    return known;
  }
}

function principalOfKey({ name, user = name, tenant, teams, scopes, servers }: ApiKeyEntry): Principal {
  // An issuer of its own keeps what belongs to a key apart from what belongs to a JWT of the same user.
  return principalOf({
    iss: "api-key",
    sub: user,
    scope: scopes.join(" "),
    ...(tenant === undefined ? {} : { tenant }),
    ...(teams === undefined ? {} : { teams }),
    ...(servers === undefined ? {} : { servers }),
  });
}
