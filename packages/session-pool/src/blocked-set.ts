import type { Bucket } from "./bucket.ts";
import type { Scope } from "./scope.ts";

/** Keys that wait under the same hard caps, by the arrival of the first caller that each needs room for. */
interface Lane<S, C> {
  readonly scopes: readonly Scope[];
  readonly queue: Bucket<S, C>[];
}

/**
 * Keys whose callers could not get a session because a hard cap was reached. Those under the same caps wait in one lane, so
 * that a look at the front of each lane finds who came first, however many keys wait.
 */
export class BlockedSet<S, C> {
  readonly #lanes: Lane<S, C>[] = [];
  size = 0;

  has(bucket: Bucket<S, C>): boolean {
    return bucket.rank !== undefined;
  }

  /** Puts a key in the place of the first caller that it needs room for; takes it out when there is none. */
  place(bucket: Bucket<S, C>): void {
    const rank = bucket.wanting?.seq;
    if (rank === bucket.rank) return;
    if (rank === undefined) {
      this.delete(bucket);
      return;
    }
    let lane = this.#laneOf(bucket);
    if (lane === undefined) {
      lane = { scopes: bucket.scopes, queue: [] };
      this.#lanes.push(lane);
    }
    this.#takeOut(bucket, lane);
    lane.queue.splice(placeOf(lane.queue, rank), 0, bucket);
    bucket.rank = rank;
    this.size++;
  }

  delete(bucket: Bucket<S, C>): void {
    if (bucket.rank === undefined) return;
    const lane = this.#laneOf(bucket);
    if (lane === undefined) return;
    this.#takeOut(bucket, lane);
    if (lane.queue.length === 0) this.#lanes.splice(this.#lanes.indexOf(lane), 1);
  }

  /** The key whose first caller came first, of those under caps that pass. */
  oldest(passes: (scopes: readonly Scope[]) => boolean): Bucket<S, C> | undefined {
    let oldest: Bucket<S, C> | undefined;
    // From the last to the first: a lane that turns out to be empty goes.
    for (let at = this.#lanes.length - 1; at >= 0; at--) {
      const lane = this.#lanes[at];
      if (lane === undefined || !passes(lane.scopes)) continue;
      const first = this.#front(lane);
      if (first !== undefined && (oldest === undefined || rankOf(first) < rankOf(oldest))) oldest = first;
    }
    return oldest;
  }

  /** All that wait under a cap. */
  under(scope: Scope): Bucket<S, C>[] {
    return this.#lanes.flatMap(({ scopes, queue }) => (scopes.includes(scope) ? queue : []));
  }

  /** Whoever gave up or was served meanwhile counts no more: the key moves to where its next caller belongs. */
  #front({ queue }: Lane<S, C>): Bucket<S, C> | undefined {
    for (let first = queue[0]; first !== undefined; first = queue[0]) {
      if (first.wanting?.seq === first.rank) return first;
      this.place(first);
    }
    return undefined;
  }

  #takeOut(bucket: Bucket<S, C>, { queue }: Lane<S, C>): void {
    if (bucket.rank === undefined) return;
    queue.splice(placeOf(queue, bucket.rank), 1);
    bucket.rank = undefined;
    this.size--;
  }

  #laneOf({ scopes }: Bucket<S, C>): Lane<S, C> | undefined {
    return this.#lanes.find(
      (lane) =>
        lane.scopes.length === scopes.length && lane.scopes.every((scope, at) => scope === scopes[at]),
    );
  }
}

/** Where a rank is, or belongs, in a queue; by bisection. */
function placeOf<S, C>(queue: readonly Bucket<S, C>[], rank: number): number {
  let low = 0;
  let high = queue.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const bucket = queue[middle];
    if (bucket !== undefined && rankOf(bucket) < rank) low = middle + 1;
    else high = middle;
  }
  return low;
}

function rankOf<S, C>(bucket: Bucket<S, C>): number {
  return bucket.rank ?? Number.POSITIVE_INFINITY;
}
