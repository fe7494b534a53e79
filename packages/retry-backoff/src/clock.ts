/** Time as this package needs it. Inject a fake one in tests. */
export interface Clock {
  /** Monotonic milliseconds; only differences matter. */
  now(): number;
  /** Runs `callback` once after `ms` and returns a function that cancels it. */
  setTimer(callback: () => void, ms: number): () => void;
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The process's clock: `performance.now()` and timers that keep the process alive while someone waits. */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimer(callback, ms) {
    const timer = setTimeout(callback, Math.min(ms, LONGEST_TIMER_MS));
    return () => clearTimeout(timer);
  },
};
