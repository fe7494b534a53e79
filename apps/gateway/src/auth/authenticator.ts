import type { GatewayConfig } from "../config/gateway-config.ts";
import { GatewayError } from "../errors.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import { ApiKeys, apiKeyPrefix } from "./api-keys.ts";
import { localPrincipal, type Principal, principalOf, type Scope } from "./principal.ts";
import { TokenCache } from "./token-cache.ts";
import { createTokenVerifier } from "./token-verifier.ts";

/** Longest `Authorization` header that is looked at. */
const maxHeader = 8_192;

/** Turns an `Authorization` header into a principal. */
export interface Authenticator {
  /**
   * The principal of a request; without a promise when its token was verified before.
   *
   * @throws {GatewayError} `unauthorized` when there is no valid token.
   */
  authenticate(authorization: string | undefined): Principal | Promise<Principal>;
}

/** An authenticator for the configured keys, or one that takes everybody for `local` when none is required. */
export async function createAuthenticator(
  config: GatewayConfig["auth"],
  secret: GatewaySecret,
  now: () => number = Date.now,
): Promise<Authenticator> {
  if (!config.required) return { authenticate: () => localPrincipal };
  const verify = await createTokenVerifier(config, secret);
  const cache = new TokenCache(config.tokenCacheSize, now);
  const apiKeys = new ApiKeys(config.apiKeys, now);

  async function verifyAndRemember(token: string): Promise<Principal> {
    const claims = await verify(token);
    const expiresAtMs = Number(claims.exp) * 1_000;
    const principal = {
      ...principalOf(claims),
      expiresAtMs: expiresAtMs + config.leewaySeconds * 1_000,
    };
    const untilMs = Math.min(expiresAtMs, now() + config.tokenCacheSeconds * 1_000);
    cache.set(token, principal, untilMs);
    return principal;
  }

  return {
    authenticate(authorization) {
      if (authorization === undefined) throw new GatewayError("unauthorized", "a bearer token is required");
      if (authorization.length > maxHeader || !/^bearer /i.test(authorization)) {
        throw new GatewayError("unauthorized", "the Authorization header is not a bearer token");
      }
      const token = authorization.slice(7);
      if (token.startsWith(apiKeyPrefix)) return apiKeys.principalOf(token);
      return cache.get(token) ?? verifyAndRemember(token);
    },
  };
}

/** Refuses a principal without the scope. */
export function requireScope(principal: Principal, scope: Scope): void {
  if (!principal.scopes.has(scope)) {
    throw new GatewayError("forbidden", `the token lacks the scope "${scope}"`, { details: { scope } });
  }
}

/**
 * Refuses a principal that may not administer the gateway: one without the scope, or limited to some servers.
 *
 * @throws {GatewayError} `forbidden`
 */
export function requireAdmin(principal: Principal): void {
  requireScope(principal, "admin");
  requireUnlimited(principal);
}

/**
 * Refuses a principal whose token is limited to some servers.
 *
 * @throws {GatewayError} `forbidden`
 */
export function requireUnlimited(principal: Principal): void {
  if (principal.servers === undefined) return;
  throw new GatewayError(
    "forbidden",
    "a token that is limited to some servers cannot administer the gateway",
  );
}
