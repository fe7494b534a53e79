import type { Budget, BudgetVerdict } from "./budget.ts";

const nothing: BudgetVerdict = { granted: false, remaining: 0 };

/** A budget that fails grants nothing, and the call ends with its own error, not with the budget's. */
export function guardedBudget(budget: Budget): Budget {
  return {
    deposit(scope) {
      try {
        budget.deposit(scope);
      } catch {
        // The call is made all the same.
      }
    },
    withdraw(scope) {
      try {
        const verdict = budget.withdraw(scope);
        return "then" in verdict ? verdict.then(undefined, () => nothing) : verdict;
      } catch {
        return nothing;
      }
    },
  };
}
