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
  readonly #series = new Map<string, Map<string, CounterSeries>[]>();

  /** What the limiter tells. */
  readonly observer: LimiterObserver = {
    onDecision: ({ verdicts, mode, degraded }) => {
      if (degraded !== undefined) this.degraded.series({ policy: degraded }).value++;
      for (const { rule, allowed } of verdicts) this.#count(rule, allowed, mode);
    },
    onStoreError: () => void this.storeErrors.series({}).value++,
  };

  #count(rule: string, allowed: boolean, mode: string): void {
    let byOutcome = this.#series.get(rule);
    if (byOutcome === undefined) {
      byOutcome = [new Map(), new Map()];
      this.#series.set(rule, byOutcome);
    }
    const byMode = byOutcome[allowed ? 0 : 1] as Map<string, CounterSeries>;
    let series = byMode.get(mode);
    if (series === undefined) {
      series = this.checks.series({ rule, outcome: allowed ? "allowed" : "refused", mode });
      byMode.set(mode, series);
    }
    series.value++;
  }
}
