import type { Bucket } from "./bucket.ts";
import type { Entry } from "./entry.ts";
import { SessionPoolError } from "./errors.ts";
import type { Evictor } from "./evictor.ts";
import { cancelSlot } from "./grower.ts";
import type { PoolCore } from "./pool-core.ts";
import type { CloseReason } from "./session-factory.ts";

/** What a drain did. */
export interface DrainReport {
  /** Sessions that were closed, or whose close was abandoned. */
  readonly closed: number;
  /** Those of them that still had leases when the deadline came. */
  readonly forced: number;
}

/** Ends sessions on purpose: for changed credentials, an ended downstream session, or the end of the pool. */
export class Drainer<S, C> {
  readonly #core: PoolCore<S, C>;
  readonly #evictor: Evictor<S, C>;

  constructor(core: PoolCore<S, C>) {
    this.#core = core;
    this.#evictor = core.evictor;
  }

  /** Retires every session of the buckets at once; waits for leases in flight until the deadline. */
  async drain(
    buckets: readonly Bucket<S, C>[],
    reasonFor: (bucket: Bucket<S, C>) => CloseReason,
    deadlineMs: number,
  ): Promise<DrainReport> {
    const entries = buckets.flatMap((bucket) => [...bucket.entries]);
    for (const bucket of buckets) {
      for (const slot of bucket.slots) cancelSlot(slot, reasonFor(bucket));
      for (const entry of [...bucket.entries]) this.#evictor.retire(entry, reasonFor(bucket));
    }
    this.#core.pump(...buckets);
    const forced = await this.#settle(entries, deadlineMs);
    return { closed: entries.length, forced };
  }

  /** Drains everything and refuses every waiter. */
  async close(deadlineMs: number, handOver: boolean): Promise<DrainReport> {
    const { state } = this.#core;
    const buckets = [...state.buckets.values()];
    for (const bucket of buckets) {
      this.#core.room.refuse(bucket, new SessionPoolError("pool_closed", "the pool is closed"));
    }
    const reasonFor = ({ stateful }: Bucket<S, C>) => (handOver && stateful ? "handed_over" : "pool_closed");
    return this.drain(buckets, reasonFor, deadlineMs);
  }

  /** Waits for all to be gone; past the deadline those still leased are closed under their leases. */
  async #settle(entries: readonly Entry<S, C>[], deadlineMs: number): Promise<number> {
    const { clock } = this.#core.state;
    const all = Promise.all(entries.map((entry) => entry.whenGone()));
    const late = Promise.withResolvers<void>();
    const timer = clock.setTimer(late.resolve, deadlineMs, false);
    await Promise.race([all, late.promise]);
    timer.cancel();
    const forced = entries.filter((entry) => entry.state === "retiring");
    for (const entry of forced) void this.#evictor.finish(entry);
    await all;
    return forced.length;
  }
}
