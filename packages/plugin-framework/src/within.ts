import type { Clock } from "./clock.ts";

/** `work`, or a TimeoutError after `timeoutMs`. What comes later is ignored. */
export function within<T>(clock: Clock, timeoutMs: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(() => reject(late(timeoutMs)), timeoutMs);
    work.then(resolve, reject).finally(() => timer.cancel());
  });
}

function late(timeoutMs: number): DOMException {
  return new DOMException(`no answer within ${timeoutMs} ms`, "TimeoutError");
}

/** Resolves after `delayMs`, without keeping the process alive when `background`. */
export function pause(clock: Clock, delayMs: number, background = false): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(resolve, delayMs, { background });
  });
}
