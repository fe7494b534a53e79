export type { Attempt, AttemptFunction } from "./attempt.ts";
export type { Budget, BudgetAccount, BudgetLevel, BudgetScope, BudgetVerdict, SyncBudget } from "./budget.ts";
export type { CallError, CallOutcome, CallPhase, CallResult } from "./call-outcome.ts";
export type { Clock } from "./clock.ts";
export {
  type Decision,
  type DecisionContext,
  decide,
  type GiveUpDecision,
  type RetryDecision,
} from "./decide.ts";
export { RetryError, type RetryErrorCode } from "./errors.ts";
export { type ExplainedStep, type ExplainOptions, type Explanation, explain } from "./explain.ts";
export type { Jitter } from "./jitter.ts";
export { createBudget, type MemoryBudget } from "./memory-budget.ts";
export type { CallInfo, RetryObserver } from "./observer.ts";
export {
  type BudgetOptions,
  type PolicyCeilings,
  parsePolicy,
  type RetryPolicy,
  type RetryPolicyInput,
} from "./policy.ts";
export type { GiveUpReason, RetryReason } from "./reasons.ts";
export type { RepeatHints } from "./repeat-safety.ts";
export {
  createRetrier,
  type Retrier,
  type RetrierDeps,
  type RetrierStats,
  type RetryOptions,
} from "./retrier.ts";
export { retry } from "./retry.ts";
