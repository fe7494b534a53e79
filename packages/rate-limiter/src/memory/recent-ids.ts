/**
 * Remembers ids for between one and two spans, in two generations: the young one is filled, the old one read,
 * and a span later the old one is dropped whole. No timers, no scan. Bounded: a full generation is turned early.
 */
export class RecentIds {
  readonly #spanMs: number;
  readonly #limit: number;
  #young = new Map<string, number>();
  #old = new Map<string, number>();
  #turnAt = 0;

  constructor(spanMs: number, limit: number) {
    this.#spanMs = spanMs;
    this.#limit = limit;
  }

  /** Was the id added less than a span ago? */
  has(id: string, now: number): boolean {
    const at = this.#young.get(id) ?? this.#old.get(id);
    return at !== undefined && now - at < this.#spanMs;
  }

  add(id: string, now: number): void {
    if (now >= this.#turnAt || this.#young.size >= this.#limit) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#turnAt = now + this.#spanMs;
    }
    this.#young.set(id, now);
  }
}
