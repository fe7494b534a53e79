/** A timer that can be taken back. */
export interface Timer {
  cancel(): void;
}

/** Source of time, injected so that tests can turn it. */
export interface Clock {
  /** Monotonic milliseconds with fractions; only differences mean something. */
  now(): number;
  /** Wall clock in Unix milliseconds, for records that other processes read. */
  wallNow(): number;
  /** Calls `callback` once after `delayMs`. A background timer does not keep the process alive. */
  setTimer(callback: () => void, delayMs: number, options?: { readonly background?: boolean }): Timer;
}

/** The clock of the process. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  setTimer(callback, delayMs, options) {
    const handle = setTimeout(callback, delayMs);
    if (options?.background === true) handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};
