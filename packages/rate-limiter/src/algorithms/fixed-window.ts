import { type Algorithm, type KeyState, keyState, type Limit, NO_LOG, type Step } from "./algorithm.ts";

/**
 * Fixed window, anchored at the first charge: at most `limit` in each window, so never more than twice that in
 * any interval of a window's length. State: `time` = start of the window, `used` = tokens taken in it.
 */
export const fixedWindow: Algorithm = {
  name: "fixed_window",

  step(limit: Limit, state: KeyState, now: number, cost: number): Step {
    const max = limit.limit;
    let { time, used } = state;
    if (time > now) time = now;
    else if (now - time >= limit.windowMs) {
      time = now;
      used = 0;
    }
    const allowed = cost === 0 || used + cost <= max;
    if (allowed) used += cost;
    const left = time + limit.windowMs - now;
    return {
      time,
      used,
      before: 0,
      log: NO_LOG,
      changed: allowed || state.time > now,
      allowed,
      remaining: used < max ? max - used : 0,
      resetMs: used > 0 ? left : 0,
      retryAfterMs: allowed ? 0 : cost > max ? -1 : left,
    };
  },

  refund(limit, state, now, cost, takenAt) {
    if (takenAt < state.time || takenAt > now || now - state.time >= limit.windowMs) return state;
    return keyState(state.time, Math.max(0, state.used - cost), 0);
  },

  expiresAt: (limit, state) => (state.used === 0 ? 0 : state.time + limit.windowMs),
};
