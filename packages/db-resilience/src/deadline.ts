import type { Clock } from "./clock.ts";

/**
 * Calls `passed` when `delayMs` are over, unless the returned function is called before; 0 is for ever. What has arrived
 * by then is read first: a process that was stopped or busy for long would otherwise take answers that lie in its
 * sockets for missing ones, and give up every connection at once.
 */
export function startDeadline(clock: Clock, delayMs: number, passed: () => void): () => void {
  if (delayMs <= 0) return () => {};
  let reading: NodeJS.Immediate | undefined;
  const timer = clock.setTimeout(() => {
    // Timers come before the sockets in a turn of the event loop, immediates after them.
    reading = setImmediate(passed);
  }, delayMs);
  return () => {
    clock.clearTimeout(timer);
    clearImmediate(reading);
  };
}
