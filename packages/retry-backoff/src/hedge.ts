import type { Budget, BudgetScope } from "./budget.ts";
import type { Clock } from "./clock.ts";
import type { GiveUpReason } from "./reasons.ts";
import type { RepeatHints } from "./repeat-safety.ts";

/** How a race is run. */
export interface Race<T> {
  readonly delayMs: number;
  readonly maxHedges: number;
  readonly hints: RepeatHints;
  /** Whether there is room for a second call, asked when one is due. */
  readonly concurrent: boolean | (() => boolean) | undefined;
  readonly clock: Clock;
  readonly budget: Budget | undefined;
  readonly scope: BudgetScope;
  /** Makes one attempt under the limits of the call; `over` fires when another one has won. */
  run(hedge: boolean, over?: AbortSignal): Promise<T>;
  /** Whether a result says that it is a failure. */
  isFailure(value: T): boolean;
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
 * `hedge_lost`, by which breakers and counters know to leave them out. A call that is not read-only runs alone, and so
 * does one that has no room for a second when that is due. After "The Tail at Scale" (Dean and Barroso, 2013).
 */
export function runHedged<T>(race: Race<T>): Promise<T> {
  if (race.hints.serverTrusted !== true || race.hints.annotations?.readOnlyHint !== true) {
    race.onRefusal("hedge_not_read_only");
    return race.run(false);
  }
  const over = new AbortController();
  return new Promise<T>((resolve, reject) => {
    let running = 0;
    let cancel: (() => void) | undefined;
    const end = (settle: () => void, failed: boolean) => {
      if (--running > 0 && failed) return;
      cancel?.();
      settle();
      over.abort(race.lost());
    };
    const start = (hedge: boolean) => {
      running++;
      race.run(hedge, over.signal).then(
        (value) => end(() => resolve(value), race.isFailure(value)),
        (error: unknown) => end(() => reject(error), true),
      );
    };
    const arm = (left: number) => {
      if (left === 0) return;
      cancel = race.clock.setTimer(async () => {
        if (race.isStopped()) return;
        if (!hasRoom(race.concurrent)) return race.onRefusal("hedge_needs_session");
        const verdict = await race.budget?.withdraw(race.scope);
        if (over.signal.aborted || race.isStopped()) return;
        if (verdict?.granted === false) return race.onRefusal("hedge_budget_exhausted");
        race.onHedge();
        start(true);
        arm(left - 1);
      }, race.delayMs);
    };
    start(false);
    arm(race.maxHedges);
  });
}

/** One who cannot say has none: nobody would hear what is thrown within a timer. */
function hasRoom(concurrent: Race<unknown>["concurrent"]): boolean {
  try {
    return (typeof concurrent === "function" ? concurrent() : concurrent) === true;
  } catch {
    return false;
  }
}
