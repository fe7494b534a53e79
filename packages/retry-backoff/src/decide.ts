import type { Budget, BudgetScope, BudgetVerdict, SyncBudget } from "./budget.ts";
import type { CallError, CallOutcome } from "./call-outcome.ts";
import { errorSignal } from "./error-signals.ts";
import { drawDelay } from "./jitter.ts";
import type { RetryPolicy } from "./policy.ts";
import type { GiveUpReason, RetryReason } from "./reasons.ts";
import { mayRepeat, type RepeatHints } from "./repeat-safety.ts";
import { resultSignal, type Signal } from "./result-signals.ts";

/** Make another attempt after `delayMs`. */
export interface RetryDecision {
  readonly retry: true;
  /** At least 1. */
  readonly delayMs: number;
  readonly reason: RetryReason;
  /** Number of the attempt to come; the first call is 1. */
  readonly attempt: number;
  /** What the budget said; undefined without one. */
  readonly budget?: BudgetVerdict;
}

/** Make no further attempt. */
export interface GiveUpDecision {
  readonly retry: false;
  readonly reason: GiveUpReason;
  /** What the failure was found by, when there is one. */
  readonly failure?: RetryReason | undefined;
  /**
   * True when the call may have been executed and nobody knows: tell the caller. A retrier says so, too, where a key or
   * `repeatUnsafe` let it repeat such an attempt, whatever the last one came to; {@link decide} sees one outcome alone.
   */
  readonly outcomeUnknown?: boolean;
  readonly budget?: BudgetVerdict;
}

/** The answer of {@link decide}: an object, never a number. */
export type Decision = RetryDecision | GiveUpDecision;

/** Everything a decision depends on beside the outcome. */
export interface DecisionContext<B extends Budget = Budget> extends RepeatHints {
  readonly policy: RetryPolicy;
  /** Number of the attempt that just ended; the first call is 1. */
  readonly attempt: number;
  /** The delay before this attempt, for decorrelated jitter. */
  readonly previousDelayMs?: number | undefined;
  /** Time left for the whole call. Default: no limit. */
  readonly remainingMs?: number | undefined;
  /** Whether a circuit breaker is open for the server. */
  readonly circuitOpen?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Asked last, so that nothing is withdrawn for a retry that will not happen. */
  readonly budget?: B | undefined;
  readonly scope?: BudgetScope | undefined;
  /** Uniform in [0, 1). Default `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/**
 * Decides whether a call is made again, and when. Pure but for the random draw and the budget.
 * With a budget that answers later, so does this.
 */
export function decide(outcome: CallOutcome, context: DecisionContext<SyncBudget>): Decision;
export function decide(outcome: CallOutcome, context: DecisionContext): Decision | Promise<Decision>;
export function decide(outcome: CallOutcome, context: DecisionContext): Decision | Promise<Decision> {
  return decideOn(signalOf(outcome, context.policy), outcome, context);
}

/** What an outcome says of itself. */
export function signalOf(outcome: CallOutcome, policy: RetryPolicy): Signal {
  return outcome.kind === "result" ? resultSignal(outcome.result, policy) : errorSignal(outcome, policy);
}

/** {@link decide} for an outcome whose signal is known already. */
export function decideOn(
  failure: Signal,
  outcome: CallOutcome,
  context: DecisionContext,
): Decision | Promise<Decision> {
  const wanted = judge(failure, outcome, context);
  if (!wanted.retry || context.budget === undefined) return wanted;
  const settle = (budget: BudgetVerdict): Decision =>
    budget.granted
      ? { retry: true, delayMs: wanted.delayMs, reason: wanted.reason, attempt: wanted.attempt, budget }
      : { ...giveUp("budget_exhausted", wanted.reason), budget };
  const verdict = context.budget.withdraw(context.scope);
  return "then" in verdict ? verdict.then(settle) : settle(verdict);
}

function judge(failure: Signal, outcome: CallOutcome, context: DecisionContext): Decision {
  const { policy, attempt, remainingMs = Number.POSITIVE_INFINITY, random = Math.random } = context;
  if (failure === undefined) return giveUp("success");
  if (context.signal?.aborted) return giveUp("aborted");
  if (failure === "not_retryable") return giveUp(failure);
  if (!mayRepeat(outcome, context, policy.repeatUnsafe)) {
    const outcomeUnknown = (outcome as Partial<CallError>).phase === "sent_no_response";
    return { ...giveUp("unsafe_to_repeat", failure), outcomeUnknown };
  }
  if (context.circuitOpen) return giveUp("circuit_open", failure);
  if (attempt > policy.maxRetries) return giveUp("max_retries", failure);
  const asked = policy.respectRetryAfter ? (outcome.retryAfterMs ?? 0) : 0;
  if (asked > policy.maxRetryAfterMs) return giveUp("retry_after_exceeds_cap", failure);
  const wished = Math.max(asked, drawDelay(attempt, policy, random, context.previousDelayMs));
  const room = remainingMs - policy.minAttemptMs;
  if (room < 1 || asked > room) return giveUp("deadline", failure);
  return {
    retry: true,
    delayMs: Math.min(wished, room),
    reason: failure,
    attempt: attempt + 1,
  };
}

/** Makes the decision to stop. */
export function giveUp(reason: GiveUpReason, failure?: RetryReason): GiveUpDecision {
  return { retry: false, reason, failure };
}
