import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";

/** Options of {@link createSealer}. */
export interface SealerOptions {
  /** At least 32 bytes; the same on every replica. */
  readonly secret: Uint8Array;
  /** Secrets whose tokens are still accepted after a rotation. */
  readonly previousSecrets?: readonly Uint8Array[];
  /** Separates the keys of different uses of one secret. */
  readonly label: string;
}

/** Turns small values into opaque tokens that only holders of the secret can make or read. */
export interface Sealer {
  /**
   * @param value anything that JSON can carry
   * @param binding what the token is valid for; opening it needs the same
   */
  seal(value: unknown, binding: string): string;
  /** The sealed value; `undefined` when the token is forged, damaged, or bound to something else. */
  open(token: string, binding: string): unknown;
}

const IV_BYTES = 12;
const TAG_BYTES = 16;
/** Longest token that is looked at. */
const MAX_TOKEN_CHARS = 16 * 1024;

/**
 * A sealer: AES-256-GCM under a key from HKDF-SHA-256 (RFC 5869), a random 96-bit nonce per token, the binding as
 * additional data.
 *
 * @throws RangeError when a secret is shorter than 32 bytes
 */
export function createSealer(options: SealerOptions): Sealer {
  const { secret, previousSecrets = [], label } = options;
  const keys = [secret, ...previousSecrets].map((bytes) => deriveKey(bytes, label));
  const [current] = keys;
  return {
    seal(value, binding) {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv("aes-256-gcm", current ?? Buffer.alloc(0), iv);
      cipher.setAAD(Buffer.from(binding));
      const sealed = Buffer.concat([cipher.update(JSON.stringify(value), "utf8"), cipher.final()]);
      return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString("base64url");
    },
    open(token, binding) {
      if (token.length > MAX_TOKEN_CHARS) return undefined;
      const bytes = Buffer.from(token, "base64url");
      if (bytes.length < IV_BYTES + TAG_BYTES || bytes.toString("base64url") !== token) return undefined;
      for (const key of keys) {
        const text = decrypt(key, bytes, binding);
        if (text !== undefined) return JSON.parse(text) as unknown;
      }
      return undefined;
    },
  };
}

function deriveKey(secret: Uint8Array, label: string): Buffer {
  if (secret.length < 32) throw new RangeError("A secret needs at least 32 bytes.");
  return Buffer.from(hkdfSync("sha256", secret, "", `gatewright/mcp-bridge/${label}`, 32));
}

function decrypt(key: Buffer, bytes: Buffer, binding: string): string | undefined {
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, IV_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
  decipher.setAAD(Buffer.from(binding));
  try {
    const start = decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES), undefined, "utf8");
    return start + decipher.final("utf8");
  } catch {
    return undefined;
  }
}
