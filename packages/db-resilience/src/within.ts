import type { Clock } from "./clock.ts";
import type { DatabaseError } from "./errors.ts";
import { aborted } from "./refusals.ts";

/** Waits for `work`, but no longer than `timeoutMs` and not beyond an abort; `work` itself goes on. */
export function within<T>(
  clock: Clock,
  work: Promise<T>,
  timeoutMs: number,
  onTimeout: () => DatabaseError,
  signal?: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(aborted(signal?.reason));
    const timer = clock.setTimeout(() => reject(onTimeout()), timeoutMs);
    signal?.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => {
      clock.clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    });
  });
}
