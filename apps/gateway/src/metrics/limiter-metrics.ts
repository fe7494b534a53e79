import type { LimiterObserver } from "@gatewright/rate-limiter";
import { Counter, type CounterSeries } from "./counter.ts";

/** Verdicts of the rate limiter by rule, and its trouble with its store. */
export class LimiterMetrics {
  readonly checks = new Counter("gatewright_limiter_checks_total", "Verdicts of the rate limiter by rule.");
  readonly degraded = new Counter(
    "gatewright_limiter_degraded_total",
    "Decisions made without the limiter's store, by failure policy.",
  );
  readonly storeErrors = new Counter(
    "gatewright_limiter_store_errors_total",
    "Failed calls of the limiter's store.",
  );
  readonly #series = new Map<string, CounterSeries>();

  /** What the limiter tells. */
  readonly observer: LimiterObserver = {
    onDecision: ({ verdicts, mode, degraded }) => {
      if (degraded !== undefined) this.degraded.series({ policy: degraded }).value++;
      for (const { rule, allowed } of verdicts) this.#count(rule, allowed ? "allowed" : "refused", mode);
    },
    onStoreError: () => void this.storeErrors.series({}).value++,
  };

  #count(rule: string, outcome: string, mode: string): void {
    const key = `${rule} ${outcome} ${mode}`;
    let series = this.#series.get(key);
    if (series === undefined) {
      series = this.checks.series({ rule, outcome, mode });
      this.#series.set(key, series);
    }
    series.value++;
  }
}
