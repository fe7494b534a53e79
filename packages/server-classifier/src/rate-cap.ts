import type { Clock } from "./clock.ts";

/** A token bucket that holds at most one second's worth. */
export interface RateCap {
  /** Whole tokens there are now. */
  available(): number;
  /** Takes so many, which must be available. */
  take(count: number): void;
  /** Gives back what was taken and not used. */
  giveBack(count: number): void;
}

/** Allows `perSecond` takes a second on average, starting full. */
export function createRateCap(perSecond: number, clock: Clock): RateCap {
  const size = Math.max(1, perSecond);
  let tokens = size;
  let filledAt = clock.now();
  return {
    available() {
      const now = clock.now();
      tokens = Math.min(size, tokens + (Math.max(0, now - filledAt) / 1_000) * perSecond);
      filledAt = now;
      return Math.max(0, Math.floor(tokens));
    },
    take(count) {
      tokens -= count;
    },
    giveBack(count) {
      tokens = Math.min(size, tokens + count);
    },
  };
}
