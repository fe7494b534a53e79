import { Counter } from "./counter.ts";
import { Histogram } from "./histogram.ts";

/** Attempts, repeats and give-ups of calls. */
export class RetryMetrics {
  readonly attempts = new Histogram("retry_attempts", "Attempts of one call.", [1, 2, 3, 4, 5, 8]);
  readonly retries = new Counter("retry_retries_total", "Repeats of calls, by reason.");
  readonly giveUps = new Counter("retry_give_ups_total", "Failed calls that were not repeated, by reason.");
  readonly #all = this.attempts.series({});

  /** A call ended after so many attempts. */
  ended(attempts: number): void {
    this.#all.observe(attempts);
  }

  /** A call is repeated. */
  retried(reason: string): void {
    this.retries.series({ reason }).value++;
  }

  /** A failed call is not repeated, or a hedge was skipped. */
  gaveUp(reason: string): void {
    this.giveUps.series({ reason }).value++;
  }

  /** Repeats so far. */
  retriesByReason(): Readonly<Record<string, number>> {
    return byReason(this.retries);
  }

  /** Give-ups so far. */
  giveUpsByReason(): Readonly<Record<string, number>> {
    return byReason(this.giveUps);
  }
}

function byReason(counter: Counter): Readonly<Record<string, number>> {
  return Object.fromEntries(counter.samples().map(({ labels, value }) => [labels["reason"], value]));
}
