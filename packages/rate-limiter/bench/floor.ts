/** What a counter says of one token. */
interface Charged {
  readonly allowed: boolean;
  readonly remaining: number;
  readonly resetMs: number;
  readonly retryAfterMs: number;
}

/** Takes one token of a key, at a time in milliseconds. */
type Take = (key: string, now: number) => Charged;

/**
 * The algorithms written straight down, each on one Map that grows without bound, at cost 1 and in floating point: the least
 * that limits the same way. No wipes, no refunds, no other costs, no clock that steps back, no eviction.
 */
export const FLOORS: Readonly<Record<string, (limit: number, windowMs: number) => Take>> = {
  fixed_window(limit, windowMs) {
    const counters = new Map<string, { used: number; endsAt: number }>();
    return (key, now) => {
      let counter = counters.get(key);
      if (counter === undefined || now >= counter.endsAt) {
        counter = { used: 0, endsAt: now + windowMs };
        counters.set(key, counter);
      }
      const allowed = counter.used < limit;
      if (allowed) counter.used++;
      const resetMs = counter.endsAt - now;
      return { allowed, remaining: limit - counter.used, resetMs, retryAfterMs: allowed ? 0 : resetMs };
    };
  },

  sliding_window(limit, windowMs) {
    const counters = new Map<string, { start: number; used: number; before: number }>();
    return (key, now) => {
      let counter = counters.get(key);
      if (counter === undefined) {
        counter = { start: now, used: 0, before: 0 };
        counters.set(key, counter);
      } else if (now - counter.start >= windowMs) {
        const adjacent = now - counter.start < 2 * windowMs;
        counter.before = adjacent ? counter.used : 0;
        counter.start = adjacent ? counter.start + windowMs : now;
        counter.used = 0;
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
    const buckets = new Map<string, { tokens: number; at: number }>();
    const perMs = limit / windowMs;
    return (key, now) => {
      let bucket = buckets.get(key);
      if (bucket === undefined) {
        bucket = { tokens: limit, at: now };
        buckets.set(key, bucket);
      } else {
        bucket.tokens = Math.min(limit, bucket.tokens + (now - bucket.at) * perMs);
        bucket.at = now;
      }
      const allowed = bucket.tokens >= 1;
      if (allowed) bucket.tokens--;
      const remaining = Math.floor(bucket.tokens);
      const resetMs = Math.ceil((limit - bucket.tokens) / perMs);
      return {
        allowed,
        remaining,
        resetMs,
        retryAfterMs: allowed ? 0 : Math.ceil((1 - bucket.tokens) / perMs),
      };
    };
  },

  gcra(limit, windowMs) {
    const arrivals = new Map<string, { at: number }>();
    const spacing = windowMs / limit;
    return (key, now) => {
      let arrival = arrivals.get(key);
      if (arrival === undefined) {
        arrival = { at: now };
        arrivals.set(key, arrival);
      }
      const ahead = Math.max(arrival.at - now, 0) + spacing;
      const allowed = ahead <= windowMs;
      if (allowed) arrival.at = now + ahead;
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
