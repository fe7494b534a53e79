/** Limits repetitions to a share of the work, after a burst (token bucket, as in Finagle's and tower's budgets). */
export interface RetryBudget {
  /** Counts one piece of work. */
  deposit(): void;
  /** Takes one repetition, if there is one left. */
  withdraw(): boolean;
}

/** Creates a budget that starts full. */
export function createRetryBudget(ratio: number, burst = 20): RetryBudget {
  let tokens = burst;
  return {
    deposit() {
      tokens = Math.min(burst, tokens + ratio);
    },
    withdraw() {
      if (tokens < 1) return false;
      tokens--;
      return true;
    },
  };
}
