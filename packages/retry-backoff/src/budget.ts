/** Which counters a call belongs to, beside the global one. */
export interface BudgetScope {
  readonly tool?: string | undefined;
  readonly server?: string | undefined;
  readonly tenant?: string | undefined;
}

/** The answer to a withdrawal. */
export interface BudgetVerdict {
  readonly granted: boolean;
  /** Retries left in the tightest counter. */
  readonly remaining: number;
  /** The counter that refused, for example `tool`. */
  readonly refusedBy?: keyof BudgetScope | "global";
  /** True when a shared store could not be asked and this process decided alone. */
  readonly degraded?: boolean;
}

/**
 * Keeps retries a small share of the traffic, so that they cannot become the overload. After Finagle's
 * `RetryBudget`: every call deposits a fraction, every retry withdraws one, from all its counters or none.
 */
export interface Budget {
  /** Counts one call. Never waits. */
  deposit(scope?: BudgetScope): void;
  /** Takes one retry. */
  withdraw(scope?: BudgetScope): BudgetVerdict | Promise<BudgetVerdict>;
}

/** A budget that answers at once. */
export interface SyncBudget extends Budget {
  withdraw(scope?: BudgetScope): BudgetVerdict;
}
