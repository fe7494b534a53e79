import type { Clock } from "./clock.ts";

/** A token bucket that holds at most one second's worth. */
export interface RateCap {
  take(): boolean;
  giveBack(): void;
}

/** Allows `perSecond` takes a second on average, starting full. */
export function createRateCap(perSecond: number, clock: Clock): RateCap {
  const size = Math.max(1, perSecond);
  let tokens = size;
  let filledAt = clock.now();
  return {
    take() {
      const now = clock.now();
      tokens = Math.min(size, tokens + ((now - filledAt) / 1_000) * perSecond);
      filledAt = now;
      if (tokens < 1) return false;
      tokens--;
      return true;
    },
    giveBack() {
      tokens = Math.min(size, tokens + 1);
    },
  };
}
