import type { Bucket } from "./bucket.ts";
import type { CloseReason } from "./session-factory.ts";

/** One session in the pool. */
export class Entry<S, C> {
  readonly session: S;
  readonly bucket: Bucket<S, C>;
  /** `live` may be leased; `retiring` is closed when its last lease ends; `gone` has left the pool. */
  state: "live" | "retiring" | "gone" = "live";
  reason: CloseReason = "drained";
  validating = false;
  /** Its place in the caps belongs to another session already. */
  displaced = false;
  inFlight = 0;
  /** Those of `inFlight` taken with purpose probe. */
  probesInFlight = 0;
  uses = 0;
  usesLeft: number;
  /** Consecutive calls that timed out. */
  timeouts = 0;
  /** The round of its server's breaker in which it came. */
  round = 0;
  lastUsedMs: number;
  /** Until then it may be handed out without asking. */
  freshUntilMs: number;
  readonly expiresAtMs: number;
  unsubscribe: (() => void) | undefined = undefined;
  listed = false;
  older: Entry<S, C> | undefined = undefined;
  newer: Entry<S, C> | undefined = undefined;
  #gone: PromiseWithResolvers<void> | undefined = undefined;
  #isGone = false;

  constructor(
    bucket: Bucket<S, C>,
    session: S,
    nowMs: number,
    expiresAtMs: number,
    maxUses: number,
    freshUntilMs: number,
  ) {
    this.bucket = bucket;
    this.session = session;
    this.lastUsedMs = nowMs;
    this.expiresAtMs = expiresAtMs;
    this.usesLeft = maxUses;
    this.freshUntilMs = freshUntilMs;
  }

  /** Settles when the session was closed or its close abandoned. */
  whenGone(): Promise<void> {
    if (this.#isGone) return Promise.resolve();
    this.#gone ??= Promise.withResolvers();
    return this.#gone.promise;
  }

  markGone(): void {
    this.#isGone = true;
    this.#gone?.resolve();
  }
}
