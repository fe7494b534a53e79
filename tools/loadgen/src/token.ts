import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";

/** Signs tokens for a gateway that is configured with the public key. */
export interface TokenSigner {
  /** For `auth.publicKey`. */
  readonly publicKeyPem: string;
  /** A JWT of that user, valid for a day, with the scopes `mcp admin`. */
  tokenOf(user: string): string;
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

const signJwt = (privateKey: KeyObject, claims: object): string => {
  const text = `${encode({ alg: "ES256", typ: "JWT" })}.${encode(claims)}`;
  const signature = sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" });
  return `${text}.${signature.toString("base64url")}`;
};

const DAY_SECONDS = 86_400;

export function createTokenSigner(audience = "gatewright"): TokenSigner {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    publicKeyPem: publicKey.export({ type: "spki", format: "pem" }) as string,
    tokenOf: (user) => {
      const now = Math.floor(Date.now() / 1000);
      const claims = { sub: user, aud: audience, scope: "mcp admin", iat: now, exp: now + DAY_SECONDS };
      return signJwt(privateKey, claims);
    },
  };
}
