import type { Algorithm, KeyState, Limit, Step } from "./algorithm.ts";

/**
 * Sliding log: every admitted charge is kept until it is a window old, so no window of any position ever holds
 * more than `limit`. Exact, and pays for it with one entry per charge (entries of one millisecond are merged):
 * prefer it for small limits. State: `log`, `time` = newest entry, `used` = sum of the costs.
 */
export const slidingLog: Algorithm = {
  name: "sliding_log",

  step(limit: Limit, state: KeyState, now: number, cost: number): Step {
    const log: number[] = [];
    let used = 0;
    for (let i = 0; i < state.log.length; i += 2) {
      const time = Math.min(state.log[i] ?? 0, now);
      const entry = state.log[i + 1] ?? 0;
      if (now - time >= limit.windowMs) continue;
      append(log, time, entry);
      used += entry;
    }
    const allowed = cost === 0 || used + cost <= limit.limit;
    if (allowed && cost > 0) {
      append(log, now, cost);
      used += cost;
    }
    const newest = log.at(-2) ?? 0;
    return {
      time: newest,
      used,
      before: 0,
      log,
      changed: allowed || state.time > now,
      allowed,
      remaining: Math.max(0, limit.limit - used),
      resetMs: log.length === 0 ? 0 : newest + limit.windowMs - now,
      retryAfterMs: allowed ? 0 : waitFor(limit, log, now, used, cost),
    };
  },

  refund(limit, state, now, cost, takenAt) {
    if (now - takenAt >= limit.windowMs) return state;
    const at = state.log.findIndex((time, i) => i % 2 === 0 && time === takenAt);
    const kept = state.log[at + 1];
    if (at < 0 || kept === undefined) return state;
    const log = state.log.toSpliced(at, 2, ...(kept > cost ? [takenAt, kept - cost] : []));
    return { time: log.at(-2) ?? 0, used: state.used - Math.min(kept, cost), before: 0, log };
  },

  expiresAt: (limit, state) => (state.log.length === 0 ? 0 : state.time + limit.windowMs),
};

function append(log: number[], time: number, cost: number): void {
  const last = log.length - 2;
  if (last >= 0 && log[last] === time) log[last + 1] = (log[last + 1] ?? 0) + cost;
  else log.push(time, cost);
}

function waitFor(limit: Limit, log: readonly number[], now: number, used: number, cost: number): number {
  if (cost > limit.limit) return -1;
  let excess = used + cost - limit.limit;
  for (let i = 0; i < log.length; i += 2) {
    excess -= log[i + 1] ?? 0;
    if (excess <= 0) return (log[i] ?? 0) + limit.windowMs - now;
  }
  return limit.windowMs;
}
