import { type AttemptFunction, type AttemptLimits, runAttempt } from "./attempt.ts";
import type { Budget } from "./budget.ts";
import type { CallOutcome } from "./call-outcome.ts";
import { classifyError } from "./classify-error.ts";
import type { Clock } from "./clock.ts";
import { type Decision, decide, type GiveUpDecision } from "./decide.ts";
import { RetryError } from "./errors.ts";
import { hedgeRefusal, runHedged } from "./hedge.ts";
import { type RetryObserver, tell } from "./observer.ts";
import type { RetryPolicy } from "./policy.ts";
import type { GiveUpReason } from "./reasons.ts";
import { idempotencyKeyFor } from "./repeat-safety.ts";
import type { RetryOptions } from "./retrier.ts";
import type { Sleeper } from "./sleeper.ts";

/** How one attempt ended. */
export type Ended<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: unknown };

/** What all calls of a retrier share. */
export interface Shared {
  readonly clock: Clock;
  readonly random: () => number;
  readonly observer: RetryObserver | undefined;
  readonly budget: Budget | undefined;
  readonly sleeper: Sleeper;
  readonly counts: { retries: number; hedges: number; giveUps: Partial<Record<GiveUpReason, number>> };
  isStopped(): boolean;
}

/** The loop: attempt, outcome, decision, sleep. `first` is an attempt that was already made. */
export async function runCall<T>(
  fn: AttemptFunction<T>,
  policy: RetryPolicy,
  options: RetryOptions,
  shared: Shared,
  first?: Ended<T>,
): Promise<T> {
  const { clock, observer } = shared;
  const { name, signal } = options;
  const deadline = deadlineOf(policy, options, clock);
  const idempotencyKey = idempotencyKeyFor({ clientKey: options.idempotencyKey, ...options });
  const hints = options.idempotent
    ? { annotations: { idempotentHint: true }, serverTrusted: true }
    : { annotations: options.annotations, serverTrusted: options.serverTrusted };
  const scope = { tool: name, ...options.scope };
  let previousDelayMs: number | undefined;
  let lastError: unknown;

  const giveUp = (decision: GiveUpDecision, attempts: number) => {
    shared.counts.giveUps[decision.reason] = (shared.counts.giveUps[decision.reason] ?? 0) + 1;
    tell(() => observer?.onGiveUp?.(decision, { name, attempts }));
  };

  const attempt = async (number: number): Promise<Ended<T>> => {
    const remainingMs = deadline === undefined ? undefined : deadline - clock.now();
    const byDeadline =
      remainingMs !== undefined && remainingMs <= (policy.attemptTimeoutMs ?? Number.POSITIVE_INFINITY);
    const limitMs = byDeadline ? Math.max(0, remainingMs) : policy.attemptTimeoutMs;
    const limits: AttemptLimits = {
      clock,
      signal,
      limitMs,
      onLimit: () => (byDeadline ? deadlineError(lastError) : timeoutError(policy.attemptTimeoutMs)),
    };
    const facts = { number, remainingMs: limitMs, idempotencyKey, hedge: false };
    try {
      if (!policy.hedge) return { ok: true, value: await runAttempt(fn, facts, limits) };
      const refused = hedgeRefusal(hints, options);
      if (refused !== undefined) {
        giveUp({ retry: false, reason: refused }, number);
        return { ok: true, value: await runAttempt(fn, facts, limits) };
      }
      const race = {
        ...policy.hedge,
        budget: shared.budget,
        scope,
        onHedge: () => void shared.counts.hedges++,
      };
      return { ok: true, value: await runHedged(fn, facts, limits, race) };
    } catch (error) {
      return { ok: false, error };
    }
  };

  let number = 1;
  let ended = first ?? (await attempt(number));
  for (; ; number++) {
    const outcome = outcomeOf(ended, options);
    const nested = options.within !== undefined;
    let decision: Decision = isDeadline(ended)
      ? { retry: false, reason: "deadline", outcomeUnknown: true }
      : await decide(outcome, {
          ...hints,
          policy,
          attempt: number,
          idempotencyKey,
          previousDelayMs,
          remainingMs: deadline === undefined ? undefined : deadline - clock.now(),
          circuitOpen: options.circuitOpen?.(),
          signal,
          budget: nested || shared.isStopped() ? undefined : shared.budget,
          scope,
          random: shared.random,
        });
    if (decision.retry && nested) decision = { retry: false, reason: "nested", failure: decision.reason };
    if (decision.retry && shared.isStopped())
      decision = { retry: false, reason: "shutdown", failure: decision.reason };
    const told = decision;
    if (options.onDecision) tell(() => options.onDecision?.(told, outcome));
    if (!decision.retry) {
      const ok = decision.reason === "success";
      if (!ok) giveUp(decision, number);
      if (observer?.onDone) tell(() => observer.onDone?.({ name, attempts: number, ok }));
      return finish(ended, decision, signal);
    }
    shared.counts.retries++;
    const retrying = decision;
    if (observer?.onRetry) tell(() => observer.onRetry?.(retrying, { name, attempts: number }));
    lastError = ended.ok ? undefined : ended.error;
    previousDelayMs = decision.delayMs;
    try {
      await shared.sleeper.sleep(decision.delayMs, { signal });
    } catch (reason) {
      const why = signal?.aborted ? "aborted" : "shutdown";
      giveUp({ retry: false, reason: why, failure: decision.reason }, number);
      if (observer?.onDone) tell(() => observer.onDone?.({ name, attempts: number, ok: false }));
      throw why === "aborted"
        ? reason
        : new RetryError("shutdown", "the retrier was stopped", { cause: lastError });
    }
    ended = await attempt(number + 1);
  }
}

function deadlineOf(policy: RetryPolicy, options: RetryOptions, clock: Clock): number | undefined {
  if (policy.totalDeadlineMs === undefined) return options.deadline;
  const own = clock.now() + policy.totalDeadlineMs;
  return options.deadline === undefined ? own : Math.min(own, options.deadline);
}

function outcomeOf<T>(ended: Ended<T>, options: RetryOptions): CallOutcome {
  if (ended.ok) return { kind: "result", result: ended.value };
  return (options.classify ?? classifyError)(ended.error);
}

function isDeadline<T>(ended: Ended<T>): boolean {
  return !ended.ok && RetryError.is(ended.error) && ended.error.code === "deadline";
}

function finish<T>(ended: Ended<T>, decision: GiveUpDecision, signal: AbortSignal | undefined): T {
  if (decision.reason === "aborted") throw signal?.reason;
  if (ended.ok) return ended.value;
  if (decision.reason === "shutdown") {
    throw new RetryError("shutdown", "the retrier was stopped", { cause: ended.error });
  }
  if (decision.reason === "unsafe_to_repeat" && decision.outcomeUnknown) {
    throw new RetryError(
      "outcome_unknown",
      "the call was sent and may have been executed; it is not repeated",
      {
        cause: ended.error,
        details: { reason: decision.reason },
      },
    );
  }
  throw ended.error;
}

function deadlineError(cause: unknown): RetryError {
  return new RetryError("deadline", "the call ran out of time", { cause, details: { outcomeUnknown: true } });
}

function timeoutError(limitMs: number | undefined): RetryError {
  return new RetryError("attempt_timeout", `an attempt took longer than ${limitMs} ms`, { retryable: true });
}
