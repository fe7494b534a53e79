import { createHmac, hkdfSync } from "node:crypto";

/** What a test token says. */
export interface GatewayTokenOptions {
  /** Default "tester". */
  user?: string;
  /** Default mcp and admin. */
  scopes?: readonly string[];
  tenant?: string;
  /** Default "gatewright". */
  audience?: string;
  /** Default 3 600; negative for a token that has expired. */
  expiresInSeconds?: number;
  /** More claims, e.g. `{ servers: ["a"] }`. */
  claims?: Readonly<Record<string, unknown>>;
}

/** Mints an HS256 token as a gateway with this GATEWRIGHT_SECRET accepts it. */
export function mintGatewayToken(secret: string, options: GatewayTokenOptions = {}): string {
  const now = Math.floor(Date.now() / 1000);
  const payload = {
    sub: options.user ?? "tester",
    scope: (options.scopes ?? ["mcp", "admin"]).join(" "),
    aud: options.audience ?? "gatewright",
    iat: now,
    exp: now + (options.expiresInSeconds ?? 3_600),
    ...(options.tenant === undefined ? {} : { tenant: options.tenant }),
    ...options.claims,
  };
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(payload)}`;
  const key = Buffer.from(hkdfSync("sha256", secret, Buffer.alloc(0), "gatewright/jwt", 32));
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}
