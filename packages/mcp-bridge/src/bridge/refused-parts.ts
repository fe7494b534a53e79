/**
 * What an upstream refused lately to tell of, by the keys of `partsOf`. Bounded by what listeners want; each is forgotten
 * after its time, and somebody told.
 */
export class RefusedParts {
  readonly #onForgotten: () => void;
  /** The timer that each part is forgotten by. */
  readonly #parts = new Map<string, NodeJS.Timeout>();

  /** @param onForgotten parts may be asked for again */
  constructor(onForgotten: () => void) {
    this.#onForgotten = onForgotten;
  }

  get size(): number {
    return this.#parts.size;
  }

  /** Notes parts as refused for a while. */
  add(parts: readonly string[], forMs: number): void {
    if (parts.length === 0) return;
    const timer = setTimeout(() => {
      for (const part of parts) if (this.#parts.get(part) === timer) this.#parts.delete(part);
      this.#onForgotten();
    }, forMs).unref();
    for (const part of parts) this.#parts.set(part, timer);
  }

  /** Whether a part was refused lately. */
  has(part: string): boolean {
    return this.#parts.has(part);
  }

  /** Forgets everything, and tells nobody. */
  clear(): void {
    for (const timer of this.#parts.values()) clearTimeout(timer);
    this.#parts.clear();
  }
}
