import type { Bucket } from "./bucket.ts";
import type { Entry } from "./entry.ts";
import type { Evictor } from "./evictor.ts";
import type { PoolState } from "./pool-state.ts";
import type { Scope } from "./scope.ts";

/** What {@link BlockedKeys} has done to keys. */
export interface BlockedKeysOwner<S, C> {
  /** Opens a session for a key that wants one; the hard cap that forbids it. */
  grow(bucket: Bucket<S, C>): Scope | undefined;
  /** Serves the waiters of a key as far as that goes. */
  pump(bucket: Bucket<S, C>): void;
}

/**
 * Keys that wait for room under a hard cap: whoever came first is served first, over all keys; past those who came
 * earlier only where the caps that these wait under leave them no room in any case.
 */
export class BlockedKeys<S, C> {
  readonly #state: PoolState<S, C>;
  readonly #evictor: Evictor<S, C>;
  readonly #owner: BlockedKeysOwner<S, C>;
  #yielding: Entry<S, C> | undefined = undefined;

  constructor(state: PoolState<S, C>, evictor: Evictor<S, C>, owner: BlockedKeysOwner<S, C>) {
    this.#state = state;
    this.#evictor = evictor;
    this.#owner = owner;
  }

  /** There may be room now: for those who came before `seq`. */
  serve(seq = Number.POSITIVE_INFINITY): void {
    const { blocked } = this.#state;
    if (blocked.size === 0) return;
    const tried = new Set<Scope>();
    for (;;) {
      const bucket = blocked.oldest((scopes) => mayHelp(scopes, tried));
      if (bucket?.rank === undefined || bucket.rank >= seq) return;
      const cap = this.#owner.grow(bucket);
      if (cap !== undefined) tried.add(cap);
    }
  }

  /** A session was given back while keys wait for room: it goes on with its own key unless somebody else came before. */
  share(entry: Entry<S, C>, nowMs: number): void {
    const { bucket } = entry;
    if (entry.inFlight === 0) this.serve(bucket.waiters.head?.seq);
    else this.#yield(entry, nowMs);
    if (bucket.waiters.size > 0) this.#owner.pump(bucket);
  }

  /** A shared session that is never idle makes room all the same when another key has waited long; one at a time. */
  #yield(entry: Entry<S, C>, nowMs: number): void {
    if (this.#yielding !== undefined && this.#yielding.state !== "gone") return;
    const { bucket } = entry;
    if (bucket.stateful) return;
    const { blocked, options } = this.#state;
    const first = blocked.oldest((scopes) =>
      scopes.some((scope) => scope.used >= scope.limit && bucket.scopes.includes(scope)),
    );
    const waiter = first?.wanting;
    if (waiter === undefined || first === bucket) return;
    if (nowMs - waiter.sinceMs <= options.acquireTimeoutMs / 4) return;
    this.#yielding = entry;
    this.#evictor.retire(entry, "lru");
  }
}

/**
 * Whether a try under these caps may come to anything: a session, or the refusal of all that wait for one in vain. What is
 * full stays full until somebody closes something, so that the rest that waits under it need not be tried.
 */
function mayHelp(scopes: readonly Scope[], tried: ReadonlySet<Scope>): boolean {
  for (const scope of scopes) {
    if (tried.has(scope)) return false;
    if (scope.isShut) return scope.isHopeless;
  }
  return true;
}
