import { createPublicKey, type KeyObject } from "node:crypto";
import type { JWTPayload, JWTVerifyGetKey, JWTVerifyOptions } from "jose";
import { ConfigError } from "../config/config-error.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { GatewayError } from "../errors.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";

/** Checks a token's signature and claims. */
export type TokenVerifier = (token: string) => Promise<JWTPayload>;

/** Loaded with the first token: a start, and a gateway without authentication, do without. */
const jose = () => import("jose");

/**
 * Verifies JWTs: HS256 under the deployment's own key (and the previous one), RS256 and ES256 under the
 * configured public key or JWKS. `sub`, `exp` and `aud` are required.
 */
export async function createTokenVerifier(
  config: GatewayConfig["auth"],
  secret: GatewaySecret,
): Promise<TokenVerifier> {
  const options: JWTVerifyOptions = {
    audience: config.audience,
    clockTolerance: config.leewaySeconds,
    requiredClaims: ["sub", "exp", "aud"],
    ...(config.issuer === undefined ? {} : { issuer: config.issuer }),
  };
  const attempts: TokenVerifier[] = secret.accepted("jwt").map((key) => async (token) => {
    const { jwtVerify } = await jose();
    return (await jwtVerify(token, key, { ...options, algorithms: ["HS256"] })).payload;
  });
  if (config.publicKey !== undefined) {
    const key = readPublicKey(config.publicKey);
    const algorithms = [key.asymmetricKeyType === "ec" ? "ES256" : "RS256"];
    attempts.push(async (token) => {
      const { jwtVerify } = await jose();
      return (await jwtVerify(token, key, { ...options, algorithms })).payload;
    });
  }
  if (config.jwksUrl !== undefined) {
    const url = new URL(config.jwksUrl);
    const algorithms = ["RS256", "ES256"];
    let keys: JWTVerifyGetKey | undefined;
    attempts.push(async (token) => {
      const { createRemoteJWKSet, jwtVerify } = await jose();
      keys ??= createRemoteJWKSet(url);
      return (await jwtVerify(token, keys, { ...options, algorithms })).payload;
    });
  }
  return async (token) => {
    let reason: unknown;
    for (const attempt of attempts) {
      try {
        return await attempt(token);
      } catch (error) {
        reason = moreTelling(reason, error);
      }
    }
    throw new GatewayError("unauthorized", explain(reason), { cause: reason });
  };
}

function readPublicKey(pem: string): KeyObject {
  try {
    return createPublicKey(pem);
  } catch (cause) {
    const message = `is not a public key in PEM form (${cause instanceof Error ? cause.message : String(cause)})`;
    throw new ConfigError([{ path: "auth.publicKey", message }]);
  }
}

/** Of two reasons the one that got further: a wrong claim says more than a wrong key. */
function moreTelling(before: unknown, after: unknown): unknown {
  return codeOf(before)?.startsWith("ERR_JWT_") === true ? before : after;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

function explain(reason: unknown): string {
  switch (codeOf(reason)) {
    case "ERR_JWT_EXPIRED":
      return "the token has expired";
    case "ERR_JWT_CLAIM_VALIDATION_FAILED":
      return reason instanceof Error ? `the token is not for this gateway: ${reason.message}` : "bad claims";
    default:
      return "the token is not valid";
  }
}
