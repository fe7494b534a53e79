/** What a counter says of one token. */
interface Charged {
  readonly allowed: boolean;
  readonly remaining: number;
  readonly resetMs: number;
  readonly retryAfterMs: number;
}

/** Takes one token of a key, at a time in milliseconds; what was written before wipe number `wiped` counts as nothing. */
type Take = (key: string, now: number, wiped: number) => Charged;

/** Keys that are kept; beyond, the oldest goes. */
const MAX_KEYS = 100_000;

function keep<T>(counters: Map<string, T>, key: string, counter: T): T {
  if (counters.size >= MAX_KEYS) counters.delete(counters.keys().next().value as string);
  counters.set(key, counter);
  return counter;
}

/**
 * The algorithms written straight down, each on one Map, at cost 1 and in floating point: the least that limits the same way,
 * bounded, and wiped at once by a number that counters are older than. No refunds, no other costs, no clock that steps back.
 */
export const FLOORS: Readonly<Record<string, (limit: number, windowMs: number) => Take>> = {
  fixed_window(limit, windowMs) {
    const counters = new Map<string, { used: number; endsAt: number; wipe: number }>();
    return (key, now, wiped) => {
      const counter =
        counters.get(key) ?? keep(counters, key, { used: 0, endsAt: now + windowMs, wipe: wiped });
      if (now >= counter.endsAt || counter.wipe < wiped) {
        counter.used = 0;
        counter.endsAt = now + windowMs;
        counter.wipe = wiped;
      }
      const allowed = counter.used < limit;
      if (allowed) counter.used++;
      const resetMs = counter.endsAt - now;
      return { allowed, remaining: limit - counter.used, resetMs, retryAfterMs: allowed ? 0 : resetMs };
    };
  },

  sliding_window(limit, windowMs) {
    const counters = new Map<string, { start: number; used: number; before: number; wipe: number }>();
    return (key, now, wiped) => {
      const counter =
        counters.get(key) ?? keep(counters, key, { start: now, used: 0, before: 0, wipe: wiped });
      if (now - counter.start >= windowMs || counter.wipe < wiped) {
        const adjacent = now - counter.start < 2 * windowMs && counter.wipe >= wiped;
        counter.before = adjacent ? counter.used : 0;
        counter.start = adjacent ? counter.start + windowMs : now;
        counter.used = 0;
        counter.wipe = wiped;
      }
      const left = counter.start + windowMs - now;
      const taken = counter.used + (counter.before * left) / windowMs;
      const allowed = taken + 1 <= limit;
      if (allowed) counter.used++;
      const remaining = Math.max(0, Math.floor(limit - taken - (allowed ? 1 : 0)));
      const resetMs = counter.used > 0 ? left + windowMs : left;
      if (allowed) return { allowed, remaining, resetMs, retryAfterMs: 0 };
      const free = limit - 1;
      const retryAfterMs =
        counter.used <= free
          ? left - Math.floor(((free - counter.used) * windowMs) / counter.before)
          : left + windowMs - Math.floor((free * windowMs) / counter.used);
      return { allowed, remaining, resetMs, retryAfterMs };
    };
  },

  token_bucket(limit, windowMs) {
    const buckets = new Map<string, { tokens: number; at: number; wipe: number }>();
    const perMs = limit / windowMs;
    return (key, now, wiped) => {
      const bucket = buckets.get(key) ?? keep(buckets, key, { tokens: limit, at: now, wipe: wiped });
      const tokens = bucket.wipe < wiped ? limit : bucket.tokens + (now - bucket.at) * perMs;
      bucket.tokens = Math.min(limit, tokens);
      bucket.at = now;
      bucket.wipe = wiped;
      const allowed = bucket.tokens >= 1;
      if (allowed) bucket.tokens--;
      const remaining = Math.floor(bucket.tokens);
      const resetMs = Math.ceil((limit - bucket.tokens) / perMs);
      const retryAfterMs = allowed ? 0 : Math.ceil((1 - bucket.tokens) / perMs);
      return { allowed, remaining, resetMs, retryAfterMs };
    };
  },

  gcra(limit, windowMs) {
    const arrivals = new Map<string, { at: number; wipe: number }>();
    const spacing = windowMs / limit;
    return (key, now, wiped) => {
      const arrival = arrivals.get(key) ?? keep(arrivals, key, { at: now, wipe: wiped });
      const stored = arrival.wipe < wiped ? 0 : arrival.at - now;
      const ahead = Math.max(stored, 0) + spacing;
      const allowed = ahead <= windowMs;
      if (allowed) {
        arrival.at = now + ahead;
        arrival.wipe = wiped;
      }
      const taken = allowed ? ahead : ahead - spacing;
      return {
        allowed,
        remaining: Math.floor((windowMs - taken) / spacing),
        resetMs: Math.ceil(taken),
        retryAfterMs: allowed ? 0 : Math.ceil(ahead - windowMs),
      };
    };
  },
};
