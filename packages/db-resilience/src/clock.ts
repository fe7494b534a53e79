import { longestMs } from "./duration.ts";

/** Time as this package needs it; a fake one makes tests exact. */
export interface Clock {
  /** Milliseconds that never go back. */
  monotonic(): number;
  /** Milliseconds since 1970. */
  now(): number;
  setTimeout(callback: () => void, delayMs: number): TimerHandle;
  clearTimeout(timer: TimerHandle | undefined): void;
}

/** A running timer; `unref` lets the process end in spite of it. */
export interface TimerHandle {
  unref?(): unknown;
}

/** The machine's clock. */
export const systemClock: Clock = {
  monotonic: () => performance.now(),
  now: () => Date.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, Math.min(delayMs, longestMs)),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout | undefined),
};
