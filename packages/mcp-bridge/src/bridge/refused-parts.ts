/**
 * What an upstream refused lately to tell of, by the keys of `partsOf`. Bounded by what listeners want; each is forgotten
 * after its time, and somebody told.
 */
export class RefusedParts {
  readonly #onForgotten: () => void;
  /** The timer that each part is forgotten by, and whether the upstream was asked for it. */
  readonly #parts = new Map<string, { readonly timer: NodeJS.Timeout; readonly asked: boolean }>();

  /** @param onForgotten parts may be asked for again */
  constructor(onForgotten: () => void) {
    this.#onForgotten = onForgotten;
  }

  get size(): number {
    return this.#parts.size;
  }

  /** Notes parts as refused for a while; `asked`: it did not acknowledge them, whereas else it could not be asked. */
  add(parts: readonly string[], forMs: number, asked: boolean): void {
    if (parts.length === 0) return;
    const timer = setTimeout(() => {
      for (const part of parts) if (this.#parts.get(part)?.timer === timer) this.#parts.delete(part);
      this.#onForgotten();
    }, forMs).unref();
    for (const part of parts) this.#parts.set(part, { timer, asked });
  }

  /** Whether a part was refused lately. */
  has(part: string): boolean {
    return this.#parts.has(part);
  }

  /** Whether the upstream was asked for a part lately, and did not acknowledge it. */
  wasAskedFor(part: string): boolean {
    return this.#parts.get(part)?.asked === true;
  }

  /** Forgets everything, and tells nobody. */
  clear(): void {
    for (const { timer } of this.#parts.values()) clearTimeout(timer);
    this.#parts.clear();
  }
}
