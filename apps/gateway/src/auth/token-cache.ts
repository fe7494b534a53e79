import { hash } from "node:crypto";
import type { Principal } from "./principal.ts";

interface Entry {
  readonly principal: Principal;
  readonly expiresAtMs: number;
}

/**
 * Verified tokens by the SHA-256 of their text, so that a signature is checked once and no token is kept.
 * Bounded; the entry that was verified longest ago goes first.
 */
export class TokenCache {
  readonly #entries = new Map<string, Entry>();
  readonly #size: number;
  readonly #now: () => number;

  constructor(size: number, now: () => number = Date.now) {
    this.#size = size;
    this.#now = now;
  }

  /** The principal of a token that was verified and has not run out. */
  get(token: string): Principal | undefined {
    const key = hash("sha256", token, "base64");
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.expiresAtMs > this.#now()) return entry.principal;
    this.#entries.delete(key);
    return undefined;
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
