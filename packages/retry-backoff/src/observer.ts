import type { GiveUpDecision, RetryDecision } from "./decide.ts";

/** Facts about the call an event belongs to. */
export interface CallInfo {
  readonly name: string | undefined;
  /** Attempts made so far. */
  readonly attempts: number;
}

/** Receives what happens; one that throws is ignored. Metrics and traces hang here. */
export interface RetryObserver {
  /** Another attempt follows after `decision.delayMs`. */
  onRetry?(decision: RetryDecision, info: CallInfo): void;
  /** A failed call gets no further attempt, or a hedge was skipped. */
  onGiveUp?(decision: GiveUpDecision, info: CallInfo): void;
  /** A call ended. `ok` is false when it failed for its caller. */
  onDone?(info: CallInfo & { readonly ok: boolean }): void;
}

/** Calls one method of the observer and swallows what it throws. */
export function tell(call: () => void): void {
  try {
    call();
  } catch {
    // An observer must not change the call it watches.
  }
}
