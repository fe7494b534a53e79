import type { Clock } from "./clock.ts";

/** Waits that can all be ended at once. Starting and ending one costs the same however many there are. */
export interface Sleeper {
  /** Number of waits under way. */
  readonly size: number;
  /** Resolves after `ms`. Rejects at once with the signal's reason, or with what {@link wakeAll} was given. */
  sleep(ms: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
  /** Ends every wait by rejecting it with `reason`. */
  wakeAll(reason: unknown): void;
}

/** Makes a {@link Sleeper}. Its timers keep the process alive, as someone awaits them; waking clears them. */
export function createSleeper(clock: Clock): Sleeper {
  const wakers = new Set<(reason: unknown) => void>();
  return {
    get size() {
      return wakers.size;
    },
    sleep(ms, { signal } = {}) {
      return new Promise<void>((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason);
          return;
        }
        const end = (reason: unknown) => {
          cancel();
          wakers.delete(wake);
          reject(reason);
        };
        const wake = (reason: unknown) => {
          signal?.removeEventListener("abort", onAbort);
          end(reason);
        };
        // Removes itself by `once`: taking many listeners off one signal one by one would be quadratic.
        const onAbort = () => end(signal?.reason);
        const cancel = clock.setTimer(() => {
          wakers.delete(wake);
          signal?.removeEventListener("abort", onAbort);
          resolve();
        }, ms);
        wakers.add(wake);
        signal?.addEventListener("abort", onAbort, { once: true });
      });
    },
    wakeAll(reason) {
      for (const wake of [...wakers]) wake(reason);
    },
  };
}
