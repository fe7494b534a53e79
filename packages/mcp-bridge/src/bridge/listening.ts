import type { SubscriptionFilter } from "./subscription-filter.ts";

/** What one session is listened to for, and how that is changed. */
export interface Listening {
  /** What was asked for and not refused. */
  readonly asked: SubscriptionFilter | undefined;
  /** What of it the upstream tells of. */
  readonly honoured: SubscriptionFilter;
  /** True once the upstream ended it; the session is of no use any more. */
  readonly over: boolean;
  /**
   * Asks for this from now on; what was honoured before and is wanted still goes on all the time, also when the
   * upstream refuses the rest.
   *
   * @throws when nothing can be listened to
   */
  aim(filter: SubscriptionFilter): Promise<void>;
  end(): void;
}

/** What {@link Listening} is made with. */
export interface ListeningOptions {
  /** Longest wait for an upstream's acknowledgement. */
  readonly acknowledgeMs: number;
  readonly signal: AbortSignal;
  /** Takes parts that the upstream refused, by the keys of `partsOf`; `soon`: the cause may pass quickly. */
  readonly onRefused: (parts: readonly string[], soon: boolean) => void;
}
