/** What a histogram has counted; `buckets` are cumulative, as Prometheus wants them. */
export interface HistogramValue {
  readonly count: number;
  readonly sum: number;
  readonly buckets: readonly { readonly le: number; readonly count: number }[];
}

/** Upper bounds in seconds, from half a millisecond to half a minute. */
const bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] as const;

/** Counts durations in fixed buckets. */
export class Histogram {
  readonly #counts = new Float64Array(bounds.length);
  #count = 0;
  #sum = 0;

  /** Adds a duration, in seconds. */
  observe(seconds: number): void {
    this.#count++;
    this.#sum += seconds;
    const at = bounds.findIndex((bound) => seconds <= bound);
    if (at >= 0) this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  read(): HistogramValue {
    let total = 0;
    const buckets = bounds.map((le, index) => {
      total += this.#counts[index] ?? 0;
      return { le, count: total };
    });
    return { count: this.#count, sum: this.#sum, buckets };
  }
}
