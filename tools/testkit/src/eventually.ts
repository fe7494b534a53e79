import { setTimeout as sleep } from "node:timers/promises";

/** Options of {@link eventually}. */
export interface EventuallyOptions {
  /** Give up after this long, rejecting with the last failure; default 10 000. */
  timeoutMs?: number;
  /** Pause between two attempts; default 10. */
  intervalMs?: number;
}

/**
 * Calls `check` until it neither throws nor returns (or resolves to) `false`, and resolves to its value.
 * Takes the place of sleeping in tests.
 *
 * @throws the last error of `check`, its message naming the time waited, when the deadline passes.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { timeoutMs = 10_000, intervalMs = 10 }: EventuallyOptions = {},
): Promise<Exclude<T, false>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown;
    try {
      const value = await check();
      if (value !== false) return value as Exclude<T, false>;
      failure = new Error("the condition is still false");
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= deadline) {
      const reason = failure instanceof Error ? failure.message : String(failure);
      throw new Error(`Not within ${timeoutMs} ms: ${reason}`, { cause: failure });
    }
    await sleep(intervalMs);
  }
}
