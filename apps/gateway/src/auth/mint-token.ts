import { SignJWT } from "jose";
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

/** Mints an HS256 token under the deployment's own key. */
export async function mintToken(secret: GatewaySecret, request: TokenRequest): Promise<string> {
  const jwt = new SignJWT({
    scope: request.scopes.join(" "),
    ...(request.tenant === undefined ? {} : { tenant: request.tenant }),
    ...(request.servers === undefined ? {} : { servers: request.servers }),
  })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setSubject(request.user)
    .setAudience(request.audience)
    .setIssuedAt()
    .setExpirationTime(`${request.expiresInSeconds}s`);
  if (request.issuer !== undefined) jwt.setIssuer(request.issuer);
  return jwt.sign(secret.key("jwt"));
}
