/** Counts per upper bound, as Prometheus histograms have them but not cumulative. */
export interface HistogramSnapshot {
  /** Upper bounds in milliseconds; values above the last one are in the last count. */
  readonly boundsMs: readonly number[];
  /** One more entry than `boundsMs`. */
  readonly counts: readonly number[];
  readonly count: number;
  readonly sumMs: number;
  readonly maxMs: number;
}

const BOUNDS_MS: readonly number[] = Object.freeze([
  1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000,
]);

/** Durations in fixed classes; recording allocates nothing. */
export class Histogram {
  readonly #counts: number[] = new Array(BOUNDS_MS.length + 1).fill(0);
  #count = 0;
  #sumMs = 0;
  #maxMs = 0;

  record(ms: number): void {
    this.#count++;
    this.#sumMs += ms;
    if (ms > this.#maxMs) this.#maxMs = ms;
    let i = 0;
    while (i < BOUNDS_MS.length && ms > (BOUNDS_MS[i] as number)) i++;
    this.#counts[i] = (this.#counts[i] as number) + 1;
  }

  snapshot(): HistogramSnapshot {
    return Object.freeze({
      boundsMs: BOUNDS_MS,
      counts: Object.freeze([...this.#counts]),
      count: this.#count,
      sumMs: this.#sumMs,
      maxMs: this.#maxMs,
    });
  }
}
