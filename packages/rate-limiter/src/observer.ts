import type { Decision } from "./decision.ts";

/** What a host may watch. Every method is optional; one that throws or rejects is ignored. */
export interface LimiterObserver {
  /** After every decision, refused and degraded ones too. */
  onDecision?(decision: Decision): void;
  /** The store did not answer in time or failed; a failure policy decides. */
  onStoreError?(error: unknown): void;
  /** A breaker around the store changed its state. In a Cluster each lane has one, and it is named. */
  onBreaker?(state: "closed" | "open" | "half_open", lane: string | undefined): void;
}

/** Calls an observer method; what it throws or rejects with is none of the limiter's business. */
export function notify(call: () => unknown): void {
  try {
    const told = call();
    if (told instanceof Promise) told.catch(() => {});
  } catch {}
}
