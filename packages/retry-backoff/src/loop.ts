import { type AttemptFunction, runAttempt } from "./attempt.ts";
import type { Budget } from "./budget.ts";
import type { CallOutcome } from "./call-outcome.ts";
import { classifyError } from "./classify-error.ts";
import type { Clock } from "./clock.ts";
import { type Decision, decide, type GiveUpDecision, giveUp, signalOf } from "./decide.ts";
import { RetryError } from "./errors.ts";
import { runHedged } from "./hedge.ts";
import { idempotencyKeyFor } from "./idempotency-key.ts";
import { type RetryObserver, tell } from "./observer.ts";
import type { RetryPolicy } from "./policy.ts";
import type { GiveUpReason, RetryReason } from "./reasons.ts";
import { mayRepeat } from "./repeat-safety.ts";
import { resultSignal } from "./result-signals.ts";
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
  readonly counts: {
    calls: number;
    retries: number;
    hedges: number;
    readonly giveUps: Partial<Record<GiveUpReason, number>>;
  };
  stopped: boolean;
}

/** The loop: attempt, outcome, decision, sleep. `first` is an attempt that was already made. */
export async function runCall<T>(
  fn: AttemptFunction<T>,
  policy: RetryPolicy,
  options: RetryOptions,
  shared: Shared,
  first?: Ended<T>,
): Promise<T> {
  const { clock, observer, counts, budget } = shared;
  const { name, signal, within, classify = classifyError } = options;
  const { totalDeadlineMs = never, attemptTimeoutMs = never } = policy;
  const { deadline: callersDeadline = never } = options;
  // Reading the clock is a good part of what a failure costs, so it is read only where there is a deadline.
  const timed = totalDeadlineMs < never || callersDeadline < never;
  const deadline = timed ? Math.min(callersDeadline, clock.now() + totalDeadlineMs) : never;
  const timeLeft = () => (timed ? deadline - clock.now() : never);
  const idempotencyKey = idempotencyKeyFor({ clientKey: options.idempotencyKey, ...options });
  const hints = options.idempotent ? { annotations: { idempotentHint: true }, serverTrusted: true } : options;
  const scope = { tool: name, ...options.scope };
  let previousDelayMs: number | undefined;
  let outOfTime: unknown;
  // Whether an attempt that was to be repeated may have been executed, where that does harm twice.
  let inDoubt = false;

  const tellGiveUp = (decision: GiveUpDecision, attempts: number) => {
    counts.giveUps[decision.reason] = (counts.giveUps[decision.reason] ?? 0) + 1;
    tell(observer, "onGiveUp", decision, { name, attempts });
  };

  const attempt = async (number: number, last?: unknown): Promise<Ended<T>> => {
    const run = (hedge: boolean, over?: AbortSignal) => {
      const own = signal && over ? AbortSignal.any([signal, over]) : (over ?? signal);
      const leftMs = timeLeft();
      const limitMs = Math.max(0, Math.min(leftMs, attemptTimeoutMs));
      const onLimit = () => {
        if (leftMs > attemptTimeoutMs) {
          return new RetryError("attempt_timeout", `an attempt took longer than ${limitMs} ms`);
        }
        const details = { outcomeUnknown: true };
        const error = new RetryError("deadline", "the call ran out of time", { cause: last, details });
        outOfTime = error;
        return error;
      };
      return runAttempt(fn, { number, idempotencyKey, hedge }, { clock, signal: own, limitMs, onLimit });
    };
    try {
      if (!policy.hedge || within) return { ok: true, value: await run(false) };
      const value = await runHedged({
        ...policy.hedge,
        clock,
        budget,
        hints,
        concurrent: options.concurrent,
        scope,
        run,
        isFailure: (value) => resultSignal(value, policy) !== undefined,
        isStopped: () => shared.stopped || timeLeft() < policy.minAttemptMs,
        onHedge: () => void counts.hedges++,
        onRefusal: (reason) => {
          tellGiveUp(giveUp(reason), number);
          tell(options, "onNoHedge", reason);
        },
        lost: () => new RetryError("hedge_lost", "another attempt answered first"),
      });
      return { ok: true, value };
    } catch (error) {
      return { ok: false, error };
    }
  };

  /** Waits; says what ended the wait before its time. */
  const sleep = (ms: number, own = signal) =>
    shared.sleeper.sleep(ms, { signal: own }).then(
      () => undefined,
      () => (signal?.aborted ? ("aborted" as const) : ("shutdown" as const)),
    );

  /** How long a sleep may be. */
  const room = () => timeLeft() - TIMER_LATENESS_MS - policy.minAttemptMs;

  /** What a budget that answers later decides, unless the call is over before; what it grants after that is lost. */
  const inTime = async (asked: Promise<Decision>, outcome: CallOutcome): Promise<Decision> => {
    const answered = new AbortController();
    const own = signal ? AbortSignal.any([signal, answered.signal]) : answered.signal;
    const decision = await Promise.race([asked, sleep(room(), own)]);
    answered.abort();
    const failure = signalOf(outcome, policy) as RetryReason;
    if (typeof decision !== "object") return giveUp(decision ?? "deadline", failure);
    if (!decision.retry) return decision;
    // Time has passed since the delay was chosen.
    const left = room();
    const least = policy.respectRetryAfter ? (outcome.retryAfterMs ?? 1) : 1;
    if (left < Math.max(1, least)) return giveUp("deadline", failure);
    return { ...decision, delayMs: Math.min(decision.delayMs, left) };
  };

  if (first === undefined && timeLeft() < policy.minAttemptMs) {
    tellGiveUp(giveUp("deadline"), 0);
    tell(observer, "onDone", { name, attempts: 0, ok: false });
    throw new RetryError("deadline", "there is no time for an attempt", {
      details: { outcomeUnknown: false },
    });
  }
  let ended = first ?? (await attempt(1));
  let error: unknown;
  for (let number = 1; ; ended = await attempt(++number, error)) {
    error = ended.ok ? undefined : ended.error;
    const outcome = ended.ok ? ({ kind: "result", result: ended.value } as const) : classify(error);
    const asked =
      !ended.ok && error === outOfTime
        ? { ...giveUp("deadline"), outcomeUnknown: true }
        : decide(outcome, {
            ...hints,
            policy,
            attempt: number,
            idempotencyKey,
            previousDelayMs,
            remainingMs: timeLeft() - TIMER_LATENESS_MS,
            circuitOpen: options.circuitOpen?.(),
            signal,
            budget: within || shared.stopped ? undefined : budget,
            scope,
            random: shared.random,
          });
    let decision = "then" in asked ? await inTime(asked, outcome) : asked;
    if (decision.retry) {
      // A key, or the operator's word, makes the repeat safe, but not what a caller would do anew.
      inDoubt ||= !mayRepeat(outcome, { ...hints, idempotencyKey: "" }, false);
      if (within || shared.stopped) decision = giveUp(within ? "nested" : "shutdown", decision.reason);
    }
    if (inDoubt) decision = doubted(decision);
    tell(options, "onDecision", decision, outcome);
    if (decision.retry) {
      counts.retries++;
      tell(observer, "onRetry", decision, { name, attempts: number });
      previousDelayMs = decision.delayMs;
      // Whoever heard of it may have stopped the retrier.
      const woken = shared.stopped ? "shutdown" : await sleep(previousDelayMs);
      // A timer may come late, and then there may be no time for what was planned.
      if (woken === undefined && timeLeft() >= policy.minAttemptMs) continue;
      decision = giveUp(woken ?? "deadline", decision.reason);
      if (inDoubt) decision = doubted(decision);
      tell(options, "onDecision", decision, outcome);
    }
    const ok = decision.reason === "success";
    if (!ok) tellGiveUp(decision, number);
    tell(observer, "onDone", { name, attempts: number, ok });
    return finish(ended, decision, signal);
  }
}

const never = Number.POSITIVE_INFINITY;
/** Timers come late by about a millisecond; a clipped sleep leaves time for that, else no attempt ever followed it. */
const TIMER_LATENESS_MS = 2;

/** The end of a call of which the last outcome alone does not tell what happened. */
function doubted<D extends Decision>(decision: D): D {
  return decision.retry || decision.reason === "success" ? decision : { ...decision, outcomeUnknown: true };
}

/** Ends the call with its own value or error, unless there is more to say. */
function finish<T>(ended: Ended<T>, decision: GiveUpDecision, signal: AbortSignal | undefined): T {
  const { reason, outcomeUnknown } = decision;
  if (reason === "aborted") throw signal?.reason;
  const cause = ended.ok ? undefined : ended.error;
  if (reason === "shutdown") {
    throw new RetryError("shutdown", "the retrier was stopped", { cause, details: { outcomeUnknown } });
  }
  if (ended.ok) return ended.value;
  if (reason === "unsafe_to_repeat" && outcomeUnknown) {
    const message = "the call was sent and may have been executed; it is not repeated";
    throw new RetryError("outcome_unknown", message, { cause, details: { reason } });
  }
  throw cause;
}
