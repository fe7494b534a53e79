import { type Algorithm, type KeyState, keyState, type Limit, NO_LOG, type Step } from "./algorithm.ts";
import { outstanding } from "./outstanding.ts";

/**
 * Token bucket: `burst` tokens at most, refilled at `limit` per window. State: `time` = last refill, `used` =
 * what is missing from a full bucket, in tokens × windowMs; a millisecond refills `limit` of those units, so
 * all arithmetic is in whole numbers below 2^53 and nothing is lost between refills.
 */
export const tokenBucket: Algorithm = {
  name: "token_bucket",

  step(limit: Limit, state: KeyState, now: number, cost: number): Step {
    const capacity = limit.burst * limit.windowMs;
    const elapsed = now > state.time ? now - state.time : 0;
    const owed = Math.min(state.used, capacity) - elapsed * limit.limit;
    let missing = Math.max(owed, 0);
    const price = cost * limit.windowMs;
    const allowed = cost === 0 || missing + price <= capacity;
    const retryAfterMs = allowed
      ? 0
      : price > capacity
        ? -1
        : Math.ceil((missing + price - capacity) / limit.limit);
    if (allowed) missing += price;
    return {
      time: now,
      used: missing,
      before: 0,
      log: NO_LOG,
      changed: allowed || state.time > now,
      allowed,
      remaining: Math.floor((capacity - missing) / limit.windowMs),
      resetMs: Math.ceil(missing / limit.limit),
      retryAfterMs,
    };
  },

  refund(limit, state, now, cost, takenAt) {
    const due = outstanding(limit, now, cost, takenAt);
    return due > 0 ? keyState(state.time, Math.max(0, state.used - due), 0) : state;
  },

  expiresAt: (limit, state) => (state.used === 0 ? 0 : state.time + Math.ceil(state.used / limit.limit)),
};
