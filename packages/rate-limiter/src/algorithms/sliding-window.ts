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
    let start = Math.min(state.time, now);
    let used = state.used;
    let before = state.before;
    if (now - start >= 2 * window) {
      start = now;
      used = 0;
      before = 0;
    } else if (now - start >= window) {
      start += window;
      before = used;
      used = 0;
    }
    const room = (limit.limit - used) * window - before * (window - (now - start));
    const allowed = cost === 0 || cost * window <= room;
    if (allowed) used += cost;
    const left = Math.floor((room - (allowed ? cost * window : 0)) / window);
    return {
      time: start,
      used,
      before,
      log: NO_LOG,
      changed: allowed || state.time > now,
      allowed,
      remaining: Math.max(left, 0),
      resetMs: used > 0 ? start + 2 * window - now : before > 0 ? start + window - now : 0,
      retryAfterMs: allowed ? 0 : waitFor(limit, start - now, used, before, cost),
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

/** Milliseconds until `cost` fits, without other traffic; -1 when it never does. `start` is relative to now. */
function waitFor(limit: Limit, start: number, used: number, before: number, cost: number): number {
  if (cost > limit.limit) return -1;
  const free = limit.limit - cost;
  if (used <= free) return start + limit.windowMs - Math.floor(((free - used) * limit.windowMs) / before);
  return start + 2 * limit.windowMs - Math.floor((free * limit.windowMs) / used);
}
