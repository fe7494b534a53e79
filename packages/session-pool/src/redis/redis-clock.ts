import type { Clock, ClockTimer } from "../clock.ts";

/** A round trip that took longer tells too little of what time it is now. */
const maxRoundTripMs = 1_000;

/**
 * A clock whose wall is that of Redis: replicas agree on it, whatever their own walls say. Between two looks it goes on with
 * the monotonic clock; before the first it is this machine's. It never steps back, though the clock of another Redis may be
 * behind: what has expired, and is remembered no longer, would be good once more.
 */
export class RedisClock implements Clock {
  readonly #own: Clock;
  /** From the monotonic clock to the wall of Redis. */
  #offsetMs: number | undefined = undefined;
  #latestMs = 0;

  constructor(own: Clock) {
    this.#own = own;
  }

  now(): number {
    return this.#own.now();
  }

  wallNow(): number {
    if (this.#offsetMs === undefined) return this.#own.wallNow();
    this.#latestMs = Math.max(this.#latestMs, this.#own.now() + this.#offsetMs);
    return this.#latestMs;
  }

  setTimer(run: () => void, ms: number, background: boolean): ClockTimer {
    return this.#own.setTimer(run, ms, background);
  }

  /** Takes what Redis said of its time, in epoch milliseconds, in an answer that has just come to what was sent at `sentMs`. */
  learn(redisMs: number, sentMs: number): void {
    const nowMs = this.#own.now();
    if (this.#offsetMs !== undefined && nowMs - sentMs > maxRoundTripMs) return;
    this.#offsetMs = redisMs - (sentMs + nowMs) / 2;
  }
}
