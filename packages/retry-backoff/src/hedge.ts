import { type Attempt, type AttemptFunction, type AttemptLimits, runAttempt } from "./attempt.ts";
import type { Budget, BudgetScope } from "./budget.ts";
import { RetryError } from "./errors.ts";
import type { GiveUpReason } from "./reasons.ts";
import type { RepeatHints } from "./repeat-safety.ts";

/** Why a call must not be hedged, or undefined when it may: read-only, and room for a second call. */
export function hedgeRefusal(
  hints: RepeatHints,
  call: { readonly concurrent?: boolean | (() => boolean) | undefined },
): GiveUpReason | undefined {
  if (hints.serverTrusted !== true || hints.annotations?.readOnlyHint !== true) return "hedge_not_read_only";
  const room = typeof call.concurrent === "function" ? call.concurrent() : call.concurrent;
  return room === true ? undefined : "hedge_needs_session";
}

/** How a race is run. */
export interface Race {
  readonly delayMs: number;
  readonly maxHedges: number;
  readonly budget: Budget | undefined;
  readonly scope: BudgetScope;
  onHedge(): void;
}

/**
 * Runs an attempt and, each time `delayMs` pass without an answer, one more, at most `maxHedges`, each paid
 * from the budget. The first success wins; when all fail, the last failure counts. Losers are aborted with
 * `hedge_lost`, by which breakers and counters know to leave them out. After "The Tail at Scale"
 * (Dean and Barroso, 2013).
 */
export function runHedged<T>(
  fn: AttemptFunction<T>,
  facts: Omit<Attempt, "signal">,
  limits: AttemptLimits,
  race: Race,
): Promise<T> {
  const over = new AbortController();
  const { clock } = limits;
  const guarded: AttemptFunction<T> = (attempt) =>
    fn({ ...attempt, signal: attempt.signal ? AbortSignal.any([attempt.signal, over.signal]) : over.signal });
  return new Promise<T>((resolve, reject) => {
    let running = 0;
    let cancel: (() => void) | undefined;
    const end = (settle: () => void) => {
      cancel?.();
      settle();
      over.abort(new RetryError("hedge_lost", "another attempt answered first"));
    };
    const start = (hedge: boolean) => {
      running++;
      runAttempt(guarded, { ...facts, hedge }, limits).then(
        (value) => end(() => resolve(value)),
        (error: unknown) => {
          if (--running === 0) end(() => reject(error));
        },
      );
    };
    const arm = (left: number) => {
      if (left === 0) return;
      cancel = clock.setTimer(async () => {
        const verdict = await race.budget?.withdraw(race.scope);
        if (over.signal.aborted || verdict?.granted === false) return;
        race.onHedge();
        start(true);
        arm(left - 1);
      }, race.delayMs);
    };
    start(false);
    arm(race.maxHedges);
  });
}
