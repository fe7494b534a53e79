import { createHmac } from "node:crypto";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import type { Scope } from "./principal.ts";

/** What a minted token says. */
export interface TokenRequest {
  readonly user: string;
  readonly scopes: readonly Scope[];
  readonly audience: string;
  readonly issuer?: string;
  readonly tenant?: string;
  /** Limits the token to these servers. */
  readonly servers?: readonly string[];
  readonly expiresInSeconds: number;
}

/** Mints an HS256 token (RFC 7519) under the deployment's own key. */
export function mintToken(secret: GatewaySecret, request: TokenRequest): string {
  const { user, scopes, audience, issuer, tenant, servers, expiresInSeconds } = request;
  const issuedAt = Math.floor(Date.now() / 1_000);
  const claims = {
    scope: scopes.join(" "),
    tenant,
    servers,
    sub: user,
    aud: audience,
    iss: issuer,
    iat: issuedAt,
    exp: issuedAt + expiresInSeconds,
  };
  const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
  return `${text}.${createHmac("sha256", secret.key("jwt")).update(text).digest("base64url")}`;
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}
