import { hkdfSync } from "node:crypto";

/** What a derived key is for; one secret never serves two purposes. */
export type KeyLabel = "identity" | "forward" | "state" | "cursor" | "credential" | "jwt";

/** A 32-byte key for one purpose, by HKDF-SHA-256 (RFC 5869) with the label as its info. */
export function deriveKey(secret: Uint8Array, label: KeyLabel): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, Buffer.alloc(0), `gatewright/${label}`, 32));
}
