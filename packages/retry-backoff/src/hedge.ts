import type { AttemptFunction } from "./attempt.ts";
import type { Budget, BudgetScope } from "./budget.ts";
import type { Clock } from "./clock.ts";
import type { GiveUpReason } from "./reasons.ts";
import type { RepeatHints } from "./repeat-safety.ts";

/** How a race is run. */
export interface Race<T> {
  readonly delayMs: number;
  readonly maxHedges: number;
  readonly hints: RepeatHints;
  /** Whether there is room for a second call. */
  readonly concurrent: boolean | (() => boolean) | undefined;
  readonly clock: Clock;
  readonly budget: Budget | undefined;
  readonly scope: BudgetScope;
  /** Makes one attempt of the function under the limits of the call. */
  run(fn: AttemptFunction<T>, hedge: boolean): Promise<T>;
  /** No attempt starts any more. */
  isStopped(): boolean;
  onHedge(): void;
  onRefusal(reason: GiveUpReason): void;
  /** What the losers are aborted with. */
  lost(): unknown;
}

/**
 * Runs an attempt and, each time `delayMs` pass without an answer, one more, at most `maxHedges`, each paid
 * from the budget. The first success wins; when all fail, the last failure counts. Losers are aborted with
 * `hedge_lost`, by which breakers and counters know to leave them out. A call that is not read-only, or has
 * no room for a second one, runs alone. After "The Tail at Scale" (Dean and Barroso, 2013).
 */
export function runHedged<T>(fn: AttemptFunction<T>, race: Race<T>): Promise<T> {
  const refused = refusal(race);
  if (refused !== undefined) {
    race.onRefusal(refused);
    return race.run(fn, false);
  }
  const over = new AbortController();
  const guarded: AttemptFunction<T> = (attempt) =>
    fn({ ...attempt, signal: attempt.signal ? AbortSignal.any([attempt.signal, over.signal]) : over.signal });
  return new Promise<T>((resolve, reject) => {
    let running = 0;
    let cancel: (() => void) | undefined;
    const end = (settle: () => void) => {
      cancel?.();
      settle();
      over.abort(race.lost());
    };
    const start = (hedge: boolean) => {
      running++;
      race.run(guarded, hedge).then(
        (value) => end(() => resolve(value)),
        (error: unknown) => {
          if (--running === 0) end(() => reject(error));
        },
      );
    };
    const arm = (left: number) => {
      if (left === 0) return;
      cancel = race.clock.setTimer(async () => {
        const verdict = await race.budget?.withdraw(race.scope);
        if (over.signal.aborted || race.isStopped() || verdict?.granted === false) return;
        race.onHedge();
        start(true);
        arm(left - 1);
      }, race.delayMs);
    };
    start(false);
    arm(race.maxHedges);
  });
}

/** Why a call must not be hedged, or undefined when it may: read-only, and room for a second call. */
function refusal({
  hints,
  concurrent,
}: Pick<Race<unknown>, "hints" | "concurrent">): GiveUpReason | undefined {
  if (hints.serverTrusted !== true || hints.annotations?.readOnlyHint !== true) return "hedge_not_read_only";
  const room = typeof concurrent === "function" ? concurrent() : concurrent;
  return room === true ? undefined : "hedge_needs_session";
}
