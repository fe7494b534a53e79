/**
 * Remembers which nonces were seen, for at least `windowMs`, in two generations; bounded. When a generation is full
 * before its time, nothing more is accepted until it may be dropped: forgetting early would let replays through.
 */
export class NonceMemory {
  readonly #windowMs: number;
  readonly #max: number;
  #young = new Set<string>();
  #old = new Set<string>();
  #turnedMs: number;

  constructor(windowMs: number, max: number, nowMs: number) {
    this.#windowMs = windowMs;
    this.#max = max;
    this.#turnedMs = nowMs;
  }

  /** `fresh` the first time, `seen` after that, `full` when it cannot tell any more. */
  check(nonce: string, nowMs: number): "fresh" | "seen" | "full" {
    if (nowMs - this.#turnedMs >= this.#windowMs) {
      this.#old = nowMs - this.#turnedMs >= 2 * this.#windowMs ? new Set() : this.#young;
      this.#young = new Set();
      this.#turnedMs = nowMs;
    }
    if (this.#young.has(nonce) || this.#old.has(nonce)) return "seen";
    if (this.#young.size >= this.#max) return "full";
    this.#young.add(nonce);
    return "fresh";
  }
}
