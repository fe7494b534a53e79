import { type Algorithm, type KeyState, keyState, type Limit, NO_LOG, type Step } from "./algorithm.ts";

/**
 * Sliding window of two counters (the approximation Cloudflare described in 2017): the previous window counts
 * by the part of it that the sliding window still covers. Any interval of length t up to the window W admits
 * at most limit × (1 + t/W), and nothing is refused while previous × (1 − f) + current + cost ≤ limit.
 * State: `time` = start of the current window, `used` = its count, `before` = the previous window's count.
 * Comparisons are done in tokens × milliseconds, whole numbers below 2^53, so they are exact.
 */
export const slidingWindow: Algorithm = {
  name: "sliding_window",

  step(limit: Limit, state: KeyState, now: number, cost: number): Step {
    const window = limit.windowMs;
    let { time, used, before } = state;
    if (time > now) time = now;
    const age = now - time;
    if (age >= window) {
      const adjacent = age < 2 * window;
      before = adjacent ? used : 0;
      time = adjacent ? time + window : now;
      used = 0;
    }
    const ahead = window - (now - time);
    let room = (limit.limit - used) * window - before * ahead;
    const allowed = cost === 0 || cost * window <= room;
    if (allowed) {
      used += cost;
      room -= cost * window;
    }
    return {
      time,
      used,
      before,
      log: NO_LOG,
      changed: allowed || state.time > now,
      allowed,
      remaining: room > 0 ? Math.floor(room / window) : 0,
      resetMs: used > 0 ? ahead + window : before > 0 ? ahead : 0,
      retryAfterMs: allowed ? 0 : waitFor(limit, ahead, used, before, cost),
    };
  },

  refund(limit, state, now, cost, takenAt) {
    if (takenAt < state.time || takenAt > now || now - state.time >= limit.windowMs) return state;
    return keyState(state.time, Math.max(0, state.used - cost), state.before);
  },

  expiresAt(limit, state) {
    if (state.used > 0) return state.time + 2 * limit.windowMs;
    return state.before > 0 ? state.time + limit.windowMs : 0;
  },
};

/** Milliseconds until `cost` fits, without other traffic; -1 when it never does. `ahead` is what is left of the window. */
function waitFor(limit: Limit, ahead: number, used: number, before: number, cost: number): number {
  if (cost > limit.limit) return -1;
  const free = limit.limit - cost;
  if (used <= free) return ahead - Math.floor(((free - used) * limit.windowMs) / before);
  return ahead + limit.windowMs - Math.floor((free * limit.windowMs) / used);
}
