import { hash } from "node:crypto";
import type { Principal } from "./principal.ts";

/** A token that was verified. */
export interface VerifiedToken {
  readonly principal: Principal;
  /** Wall clock. */
  readonly expiresAtMs: number;
}

/**
 * Verified tokens by the SHA-256 of their text, so that a signature is checked once and no token is kept.
 * Bounded; the entry that was verified longest ago goes first.
 */
export class TokenCache {
  readonly #entries = new Map<string, VerifiedToken>();
  readonly #size: number;
  readonly #now: () => number;

  constructor(size: number, now: () => number = Date.now) {
    this.#size = size;
    this.#now = now;
  }

  /** A token that was verified and has not run out. */
  get(token: string): VerifiedToken | undefined {
    const key = hash("sha256", token, "base64");
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (this.isValid(entry)) return entry;
    this.#entries.delete(key);
    return undefined;
  }

  /** Whether a verified token has not run out. */
  isValid({ expiresAtMs }: VerifiedToken): boolean {
    return expiresAtMs > this.#now();
  }

  /** Remembers a verified token until `expiresAtMs` (wall clock). */
  set(token: string, principal: Principal, expiresAtMs: number): void {
    if (expiresAtMs <= this.#now()) return;
    if (this.#entries.size >= this.#size) {
      const oldest = this.#entries.keys().next();
      if (oldest.done !== true) this.#entries.delete(oldest.value);
    }
    this.#entries.set(hash("sha256", token, "base64"), { principal, expiresAtMs });
  }

  /** Entries held. */
  get size(): number {
    return this.#entries.size;
  }
}
