/** Which counters a call belongs to, beside the global one. */
export interface BudgetScope {
  readonly tool?: string | undefined;
  readonly server?: string | undefined;
  readonly tenant?: string | undefined;
}

/** What a counter counts for; `global` is the whole. */
export type BudgetLevel = keyof BudgetScope | "global";

/** One counter of a budget. */
export interface BudgetAccount {
  readonly level: BudgetLevel;
  /** Name of the tool, server or tenant; empty for the whole. */
  readonly id: string;
  /** Retries it would grant now; undefined when a shared store could not be asked. */
  readonly remaining: number | undefined;
  readonly granted: number;
  /** Retries that failed for it; of several counters that refuse one, the first. */
  readonly refused: number;
}

/** The answer to a withdrawal. */
export interface BudgetVerdict {
  readonly granted: boolean;
  /** Retries left in the tightest counter. */
  readonly remaining: number;
  /** The counter that refused, for example `tool`. */
  readonly refusedBy?: BudgetLevel;
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
