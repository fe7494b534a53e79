import type { Bucket } from "./bucket.ts";
import type { Entry } from "./entry.ts";
import type { Evictor } from "./evictor.ts";
import type { PoolState } from "./pool-state.ts";

/** Keys that wait for room under a hard cap: whoever came first is served first, over all keys. */
export class BlockedKeys<S, C> {
  readonly #state: PoolState<S, C>;
  readonly #evictor: Evictor<S, C>;
  readonly #pump: (bucket: Bucket<S, C>) => void;
  #yielding: Entry<S, C> | undefined = undefined;

  /** @param pump serves the waiters of a key as far as that goes */
  constructor(state: PoolState<S, C>, evictor: Evictor<S, C>, pump: (bucket: Bucket<S, C>) => void) {
    this.#state = state;
    this.#evictor = evictor;
    this.#pump = pump;
  }

  /** There may be room now. */
  serve(): void {
    for (const bucket of [...this.#state.blocked]) {
      this.#state.blocked.delete(bucket);
      this.#pump(bucket);
    }
  }

  /** A session was given back while keys wait for room. */
  share(entry: Entry<S, C>, nowMs: number): void {
    const { bucket } = entry;
    const [first] = this.#state.blocked;
    const patience = this.#state.options.acquireTimeoutMs / 4;
    const head = first?.waiters.head;
    if (first !== undefined && head !== undefined && entry.inFlight > 0 && nowMs - head.sinceMs > patience) {
      this.#yield(entry, first);
    }
    const own = bucket.waiters.head;
    if (own !== undefined && (head === undefined || head.seq >= own.seq)) this.#pump(bucket);
    this.serve();
    this.#pump(bucket);
  }

  /** A shared session that is never idle makes room all the same when another key has waited long; one at a time. */
  #yield(entry: Entry<S, C>, first: Bucket<S, C>): void {
    if (this.#yielding !== undefined && this.#yielding.state !== "gone") return;
    const full = first.scopes.find((scope) => scope.used >= scope.limit);
    if (full === undefined || entry.bucket.stateful || !entry.bucket.scopes.includes(full)) return;
    this.#yielding = entry;
    this.#evictor.retire(entry, "lru");
  }
}
