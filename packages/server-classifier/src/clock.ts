/** Time as this package needs it. Inject a fake one in tests. */
export interface Clock {
  /** Monotonic milliseconds; only differences matter. */
  now(): number;
  /** Epoch milliseconds of this process; only ages are taken from it. */
  wall(): number;
  /** Runs `callback` once after `ms` without keeping the process alive; returns a function that cancels it. */
  setTimer(callback: () => void, ms: number): () => void;
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The process's own clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  setTimer(callback, ms) {
    const timer = setTimeout(callback, Math.min(ms, LONGEST_TIMER_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
};
