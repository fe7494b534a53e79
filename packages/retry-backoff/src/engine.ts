import type { Attempt, AttemptFunction } from "./attempt.ts";
import type { Budget } from "./budget.ts";
import type { Clock } from "./clock.ts";
import type { Core } from "./core.ts";
import { guardedBudget } from "./guarded-budget.ts";
import { type Ended, runCall, type Shared } from "./loop.ts";
import { type RetryObserver, tell } from "./observer.ts";
import type { RetryPolicy } from "./policy.ts";
import type { GiveUpReason } from "./reasons.ts";
import type { Retrier, RetryOptions } from "./retrier.ts";
import { createSleeper } from "./sleeper.ts";

export { dryRun } from "./dry-run.ts";

/** What runs the calls of one retrier. */
export type Engine = Omit<Retrier, "policy">;

/** What an engine works with. */
export interface EngineParts {
  readonly policy: RetryPolicy;
  readonly clock: Clock;
  readonly random?: () => number;
  readonly budget: Budget | undefined;
  readonly observer?: RetryObserver;
}

const noOptions: RetryOptions = {};
const firstAttempt: Attempt = Object.freeze({ number: 1, hedge: false });

/** Makes an {@link Engine}. A call without limits of time whose first attempt succeeds touches nothing else. */
export function createEngine(core: Core, parts: EngineParts): Engine {
  const { policy, clock, random = Math.random, observer } = parts;
  const budget = parts.budget && guardedBudget(parts.budget);
  const { resultSignal, RetryError } = core;
  const sleeper = createSleeper(clock);
  const counts = { calls: 0, retries: 0, hedges: 0, giveUps: {} as Partial<Record<GiveUpReason, number>> };
  let stopped = false;
  const isStopped = () => stopped;
  const shared: Shared = { ...core, clock, random, observer, budget, sleeper, counts, isStopped };

  const retry = async <T>(fn: AttemptFunction<T>, options: RetryOptions = noOptions): Promise<T> => {
    if (stopped) throw new RetryError("shutdown", "the retrier was stopped");
    counts.calls++;
    const { name, scope } = options;
    if (budget !== undefined) {
      if (name === undefined && scope === undefined) budget.deposit();
      else budget.deposit({ tool: name, ...scope });
    }
    const own = policy.for(name);
    if (needsCare(own, options)) return runCall(fn, own, options, shared);
    let ended: Ended<T>;
    try {
      const value = await fn(firstAttempt);
      if (resultSignal(value, own) === undefined) {
        if (observer) tell(observer, "onDone", { name, attempts: 1, ok: true });
        return value;
      }
      ended = { ok: true, value };
    } catch (error) {
      ended = { ok: false, error };
    }
    return runCall(fn, own, options, shared, ended);
  };

  return {
    retry,
    stop() {
      stopped = true;
      sleeper.wakeAll(new RetryError("shutdown", "the retrier was stopped while a call waited"));
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
