import type { Attempt, AttemptFunction } from "./attempt.ts";
import type { Budget, BudgetScope } from "./budget.ts";
import type { CallOutcome } from "./call-outcome.ts";
import { type Clock, systemClock } from "./clock.ts";
import { type Decision, decide, giveUp } from "./decide.ts";
import type { Engine } from "./engine.ts";
import { RetryError } from "./errors.ts";
import { createBudget } from "./memory-budget.ts";
import type { RetryObserver } from "./observer.ts";
import { parsePolicy, type RetryPolicy, type RetryPolicyInput } from "./policy.ts";
import type { GiveUpReason } from "./reasons.ts";
import type { RepeatHints } from "./repeat-safety.ts";
import { resultSignal } from "./result-signals.ts";

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
  /** Whether the server keeps no sessions, or the session has room for a second call. For hedging. */
  readonly concurrent?: boolean | (() => boolean) | undefined;
  /** Reads a thrown value in place of {@link classifyError}. */
  readonly classify?: ((error: unknown) => CallOutcome) | undefined;
  /** Hears every decision of this call. */
  readonly onDecision?: ((decision: Decision, outcome: CallOutcome) => void) | undefined;
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

const ignore = () => {};
const noStats: RetrierStats = { calls: 0, retries: 0, hedges: 0, sleeping: 0, giveUps: {} };

/**
 * Makes a {@link Retrier}. What runs its calls is a file of its own, loaded in the background from here on, so that
 * a program that only decides does not carry it; a call that comes before it is there waits for it.
 *
 * @throws RetryError `invalid_policy`.
 */
export function createRetrier(policy: RetryPolicyInput | RetryPolicy = {}, deps: RetrierDeps = {}): Retrier {
  const parsed = parsePolicy(policy);
  const { clock = systemClock } = deps;
  const budget = deps.budget ?? (parsed.budget ? createBudget(parsed.budget, { clock }) : undefined);
  let engine: Engine | undefined;
  const loading = import("./engine.ts").then(({ createEngine }) => {
    engine = createEngine(
      { decide, giveUp, resultSignal, RetryError },
      { ...deps, policy: parsed, clock, budget },
    );
    return engine;
  });
  // Each call that waits for it is told.
  loading.catch(ignore);
  return {
    policy: parsed,
    retry: (fn, options) =>
      engine ? engine.retry(fn, options) : loading.then((loaded) => loaded.retry(fn, options)),
    stop() {
      if (engine) engine.stop();
      else loading.then((loaded) => loaded.stop(), ignore);
    },
    stats: () => engine?.stats() ?? noStats,
  };
}
