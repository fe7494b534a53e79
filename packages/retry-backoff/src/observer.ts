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

/** Calls one method of a listener, if it has it, and swallows what it throws: watching must not change a call. */
export function tell<Listener extends object, Event extends keyof Listener>(
  listener: Listener | undefined,
  event: Event,
  ...facts: Parameters<Extract<Listener[Event], (...facts: never[]) => void>>
): void {
  try {
    (listener?.[event] as ((...facts: unknown[]) => void) | undefined)?.(...facts);
  } catch {
    // Nothing to do for it.
  }
}
