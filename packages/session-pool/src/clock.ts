/** A timer that was set by a {@link Clock}. */
export interface ClockTimer {
  /** Cancels the timer; harmless when it has fired. */
  cancel(): void;
}

/** Time as the pool sees it. Inject a fake one in tests. */
export interface Clock {
  /** Monotonic milliseconds; never jumps. */
  now(): number;
  /** Milliseconds since the epoch, for time stamps that leave the process. */
  wallNow(): number;
  /**
   * Calls `run` once after `ms` milliseconds.
   * A `background` timer never keeps the process alive.
   */
  setTimer(run: () => void, ms: number, background: boolean): ClockTimer;
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  setTimer(run, ms, background) {
    const timer = setTimeout(run, Math.min(ms, 2 ** 31 - 1));
    if (background) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
