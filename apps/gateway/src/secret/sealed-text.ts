import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { GatewayError } from "../errors.ts";
import type { GatewaySecret } from "./gateway-secret.ts";

const version = "v1";

/** Encrypts text at rest by AES-256-GCM with the `credential` key; `context` is bound to it unencrypted. */
export function sealText(secret: GatewaySecret, text: string, context: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", secret.key("credential"), nonce);
  cipher.setAAD(Buffer.from(context, "utf8"));
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return `${version}.${Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString("base64url")}`;
}

/**
 * Opens what {@link sealText} made, under the current or the previous secret.
 *
 * @throws {GatewayError} `db_unavailable` when it was tampered with, sealed for another context or under an unknown secret.
 */
export function openText(secret: GatewaySecret, sealed: string, context: string): string {
  const bytes = Buffer.from(sealed.slice(version.length + 1), "base64url");
  for (const key of secret.accepted("credential")) {
    try {
      const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12));
      decipher.setAAD(Buffer.from(context, "utf8"));
      decipher.setAuthTag(bytes.subarray(12, 28));
      return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString("utf8");
    } catch {
      // Sealed under another key: the next one is tried.
    }
  }
  throw new GatewayError(
    "db_unavailable",
    `a stored credential (${context}) cannot be opened with this secret; give the former one as GATEWRIGHT_SECRET_PREVIOUS`,
  );
}
