import type { Attempt, AttemptFunction } from "./attempt.ts";
import type { Budget, BudgetScope } from "./budget.ts";
import type { CallOutcome } from "./call-outcome.ts";
import { type Clock, systemClock } from "./clock.ts";
import { type Decision, giveUp } from "./decide.ts";
import { RetryError } from "./errors.ts";
import { guardedBudget } from "./guarded-budget.ts";
import { type Ended, runCall, type Shared } from "./loop.ts";
import { createBudget } from "./memory-budget.ts";
import { type RetryObserver, tell } from "./observer.ts";
import { parsePolicy, type RetryPolicy, type RetryPolicyInput } from "./policy.ts";
import type { GiveUpReason } from "./reasons.ts";
import type { RepeatHints } from "./repeat-safety.ts";
import { resultSignal } from "./result-signals.ts";
import { createSleeper } from "./sleeper.ts";

/** What a caller says about one call. */
export interface RetryOptions extends RepeatHints {
  /** The tool's name: selects the override and the budget's counter. */
  readonly name?: string | undefined;
  /** Further counters of the budget. */
  readonly scope?: BudgetScope | undefined;
  readonly signal?: AbortSignal | undefined;
  /** When the call must have ended, on the retrier's clock (`performance.now()` unless injected). */
  readonly deadline?: number | undefined;
  /** The caller knows that a second execution is harmless. Default false. */
  readonly idempotent?: boolean | undefined;
  /** The server declares that it honours idempotency keys, so one is minted when none is given. */
  readonly serverHonoursKeys?: boolean | undefined;
  /** The attempt of an outer retry layer this call is part of; then this layer makes one attempt only. */
  readonly within?: Attempt | undefined;
  /** Asked after a failure: an open breaker means no retry. */
  readonly circuitOpen?: (() => boolean) | undefined;
  /** Whether the server keeps no sessions, or the session has room for a second call. Asked when a hedge is due. */
  readonly concurrent?: boolean | (() => boolean) | undefined;
  /** Reads a thrown value in place of {@link classifyError}. */
  readonly classify?: ((error: unknown) => CallOutcome) | undefined;
  /** Hears every decision of this call, the one that it is a success too. */
  readonly onDecision?: ((decision: Decision, outcome: CallOutcome) => void) | undefined;
  /** Hears why a hedge of this call that was due, or wanted, was not started. */
  readonly onNoHedge?: ((reason: GiveUpReason) => void) | undefined;
}

/** What a retrier works with; everything has a default. */
export interface RetrierDeps {
  readonly clock?: Clock;
  /** Uniform in [0, 1). Default `Math.random`. */
  readonly random?: () => number;
  /** Replaces the memory budget that the policy describes. */
  readonly budget?: Budget;
  readonly observer?: RetryObserver;
}

/** A snapshot of {@link Retrier.stats}. */
export interface RetrierStats {
  readonly calls: number;
  readonly retries: number;
  readonly hedges: number;
  /** Calls that wait for their next attempt now. */
  readonly sleeping: number;
  readonly giveUps: Readonly<Partial<Record<GiveUpReason, number>>>;
}

/** Retries calls under one policy and one budget. */
export interface Retrier {
  readonly policy: RetryPolicy;
  /**
   * Calls `fn` until it succeeds or the policy says to stop.
   *
   * A failed call ends with its own last error or its own last result, unchanged, except: `RetryError`
   * `outcome_unknown` when it was sent and nobody knows whether it was executed, `deadline`, `shutdown`,
   * and the signal's reason after an abort.
   */
  retry<T>(fn: AttemptFunction<T>, options?: RetryOptions): Promise<T>;
  /** Ends every wait with `shutdown` and refuses new calls. Running attempts finish. Idempotent. */
  stop(): void;
  stats(): RetrierStats;
}

const noOptions: RetryOptions = {};
const firstAttempt: Attempt = Object.freeze({ number: 1, hedge: false });

/**
 * Makes a {@link Retrier}. A call without limits of time whose first attempt succeeds makes no timer, no listener and
 * no object of its own.
 *
 * @throws RetryError `invalid_policy`.
 */
export function createRetrier(input: RetryPolicyInput | RetryPolicy = {}, deps: RetrierDeps = {}): Retrier {
  const policy = parsePolicy(input);
  const { clock = systemClock, random = Math.random, observer } = deps;
  const own = () => (policy.budget ? createBudget(policy.budget, { clock }) : undefined);
  const budget = deps.budget ? guardedBudget(deps.budget) : own();
  const sleeper = createSleeper(clock);
  const counts: Shared["counts"] = { calls: 0, retries: 0, hedges: 0, giveUps: {} };
  const shared: Shared = { clock, random, observer, budget, sleeper, counts, stopped: false };
  const stopped = () => new RetryError("shutdown", "the retrier was stopped");

  return {
    policy,
    async retry<T>(fn: AttemptFunction<T>, options = noOptions): Promise<T> {
      if (shared.stopped) throw stopped();
      counts.calls++;
      const { name, scope } = options;
      budget?.deposit(name === undefined ? scope : { tool: name, ...scope });
      const own = policy.for(name);
      if (needsCare(own, options)) return runCall(fn, own, options, shared);
      let ended: Ended<T>;
      try {
        const value = await fn(firstAttempt);
        if (resultSignal(value, own) === undefined) {
          if (options.onDecision) {
            tell(options, "onDecision", giveUp("success"), { kind: "result", result: value });
          }
          if (observer) tell(observer, "onDone", { name, attempts: 1, ok: true });
          return value;
        }
        ended = { ok: true, value };
      } catch (error) {
        ended = { ok: false, error };
      }
      return runCall(fn, own, options, shared, ended);
    },
    stop() {
      shared.stopped = true;
      sleeper.wakeAll(stopped());
    },
    stats: () => ({ ...counts, giveUps: { ...counts.giveUps }, sleeping: sleeper.size }),
  };
}

/** Calls that need a timer, a listener or a key before their first attempt. */
function needsCare(
  { totalDeadlineMs, attemptTimeoutMs, hedge }: RetryPolicy,
  { signal, deadline, idempotencyKey, serverHonoursKeys }: RetryOptions,
): boolean {
  const limit = totalDeadlineMs ?? attemptTimeoutMs ?? signal ?? deadline ?? idempotencyKey;
  return limit !== undefined || Boolean(hedge || serverHonoursKeys);
}
