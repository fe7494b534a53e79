import type { Clock } from "./clock.ts";
import { aborted } from "./refusals.ts";

/** Waits; rejects with `db_aborted` when the signal aborts. A wait in the background lets the process end. */
export function sleep(
  clock: Clock,
  delayMs: number,
  signal?: AbortSignal,
  background = false,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted(signal.reason));
    const abort = () => {
      clock.clearTimeout(timer);
      reject(aborted(signal?.reason));
    };
    const timer = clock.setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, delayMs);
    if (background) timer.unref?.();
    signal?.addEventListener("abort", abort, { once: true });
  });
}
