import { type Algorithm, type KeyState, keyState, type Limit, NO_LOG, type Step } from "./algorithm.ts";
import { outstanding } from "./outstanding.ts";

/**
 * Generic cell rate algorithm (ITU-T I.371): one theoretical arrival time per key, moved on by window/limit for
 * each token; a charge passes while that time is at most burst × window/limit ahead. With burst 1 charges are
 * evenly spaced and no window ever holds more than `limit`. State: `time` = whole milliseconds of the arrival
 * time, `used` = the rest of it in 1/limit milliseconds, so spacing is exact for any rate.
 */
export const gcra: Algorithm = {
  name: "gcra",

  step(limit: Limit, state: KeyState, now: number, cost: number): Step {
    const rate = limit.limit;
    const tolerance = limit.burst * limit.windowMs;
    const stored = state.time >= now ? (state.time - now) * rate + state.used : 0;
    let ahead = Math.min(stored, tolerance);
    const price = cost * limit.windowMs;
    const allowed = cost === 0 || ahead + price <= tolerance;
    const retryAfterMs = allowed ? 0 : price > tolerance ? -1 : Math.ceil((ahead + price - tolerance) / rate);
    if (allowed) ahead += price;
    const whole = Math.floor(ahead / rate);
    const rest = ahead - whole * rate;
    return {
      time: now + whole,
      used: rest,
      before: 0,
      log: NO_LOG,
      changed: allowed || stored > tolerance,
      allowed,
      remaining: Math.floor((tolerance - ahead) / limit.windowMs),
      resetMs: rest > 0 ? whole + 1 : whole,
      retryAfterMs,
    };
  },

  refund(limit, state, now, cost, takenAt) {
    const due = outstanding(limit, now, cost, takenAt);
    if (due === 0 || state.time < now) return state;
    const ahead = (state.time - now) * limit.limit + state.used - due;
    if (ahead <= 0) return keyState(0, 0, 0);
    const whole = Math.floor(ahead / limit.limit);
    return keyState(now + whole, ahead - whole * limit.limit, 0);
  },

  expiresAt: (_limit, state) => (state.used > 0 ? state.time + 1 : state.time),
};
