import type { Bucket } from "./bucket.ts";
import type { Entry } from "./entry.ts";
import type { PoolState } from "./pool-state.ts";
import type { CloseReason } from "./session-factory.ts";

/** Reasons that mean the upstream session is dead already: nothing is gained by counting it until its close ends. */
const DEAD: ReadonlySet<CloseReason> = new Set(["broken", "lost", "unhealthy", "timeouts"]);

/** Takes sessions out of the pool and closes them, each within a bound. */
export class Evictor<S, C> {
  readonly #state: PoolState<S, C>;
  readonly #slotFreed: () => void;

  constructor(state: PoolState<S, C>, slotFreed: () => void) {
    this.#state = state;
    this.#slotFreed = slotFreed;
  }

  /** No new leases; closed now if idle, else when the last lease ends. */
  retire(entry: Entry<S, C>, reason: CloseReason): void {
    if (entry.state !== "live") return;
    const { bucket } = entry;
    entry.state = "retiring";
    entry.reason = reason;
    bucket.live--;
    if (entry.validating) {
      entry.validating = false;
      bucket.validating--;
    }
    bucket.withdraw(entry);
    // Who waits for another session of the key takes its place before what this one frees is given away.
    if (bucket.waiters.size > 0) this.#state.blocked.place(bucket);
    this.#state.idle.remove(entry);
    this.#state.evictions.set(reason, (this.#state.evictions.get(reason) ?? 0) + 1);
    if (bucket.stateful) for (const scope of bucket.scopes) scope.stateful--;
    if (entry.inFlight === 0) void this.finish(entry);
  }

  /** Closes a retiring session, also under its leases. Never rejects. */
  async finish(entry: Entry<S, C>): Promise<void> {
    if (entry.state !== "retiring") return entry.whenGone();
    const { bucket, reason, uses } = entry;
    entry.state = "gone";
    bucket.entries.delete(entry);
    bucket.closing++;
    try {
      entry.unsubscribe?.();
    } catch {
      // The session is leaving; whether its owner could unsubscribe makes no difference.
    }
    const freeNow = DEAD.has(reason) && !entry.displaced;
    if (freeNow) this.#free(bucket);
    await this.closeSession(bucket, entry.session, reason);
    this.#state.tell("sessionClosed", { ...this.#state.eventOf(bucket), reason, uses });
    bucket.closing--;
    if (!freeNow && !entry.displaced) this.#free(bucket);
    this.#state.dropIfEmpty(bucket);
    entry.markGone();
  }

  /** Closes an idle session whose place in the caps is taken at once by the one that displaces it. Never rejects. */
  displace(entry: Entry<S, C>): Promise<void> {
    for (const scope of entry.bucket.scopes) scope.used--;
    entry.displaced = true;
    this.retire(entry, "lru");
    return entry.whenGone();
  }

  /** Calls the factory's `close`, waits for it no longer than `closeTimeoutMs`, and never rejects. */
  closeSession(bucket: Bucket<S, C>, session: S, reason: CloseReason): Promise<void> {
    const state = this.#state;
    return new Promise((done) => {
      const timer = state.clock.setTimer(
        () => {
          state.tell("closeAbandoned", { ...state.eventOf(bucket), reason, why: "timeout" });
          done();
        },
        state.options.closeTimeoutMs,
        false,
      );
      const settled = (failed: boolean) => {
        timer.cancel();
        if (failed) state.tell("closeAbandoned", { ...state.eventOf(bucket), reason, why: "failed" });
        done();
      };
      try {
        state.factory.close(session, reason).then(
          () => settled(false),
          () => settled(true),
        );
      } catch {
        settled(true);
      }
    });
  }

  #free(bucket: Bucket<S, C>): void {
    for (const scope of bucket.scopes) scope.used--;
    this.#slotFreed();
  }
}
