import type { Bucket } from "./bucket.ts";
import { Entry } from "./entry.ts";
import type { PoolState } from "./pool-state.ts";

/** A session as it comes into the pool. */
export function newEntry<S, C>(
  bucket: Bucket<S, C>,
  session: S,
  state: PoolState<S, C>,
  nowMs: number,
): Entry<S, C> {
  const { options, random } = state;
  const ages = !bucket.stateful;
  const expiresAtMs = ages ? nowMs + options.maxAgeMs * (0.9 + 0.2 * random()) : Number.POSITIVE_INFINITY;
  const uses = bucket.key.oneShot ? 1 : ages ? options.maxUses : Number.POSITIVE_INFINITY;
  return new Entry<S, C>(bucket, session, nowMs, expiresAtMs, uses, 0);
}
