import type { Clock } from "./clock.ts";
import type { RetryError } from "./errors.ts";

/** What a function that is retried is told about the attempt it makes. */
export interface Attempt {
  /** 1 for the first call. */
  readonly number: number;
  /** Fires when the caller aborts, time runs out, or another attempt won a hedged race. */
  readonly signal?: AbortSignal | undefined;
  /** Time left for this attempt, to be passed downstream. Undefined without a limit. */
  readonly remainingMs?: number | undefined;
  /** The same for every attempt of a call. Undefined when none is to be sent. */
  readonly idempotencyKey?: string | undefined;
  /** True for the second and later attempts of a hedged race. */
  readonly hedge: boolean;
}

/** A function that is retried. */
export type AttemptFunction<T> = (attempt: Attempt) => T | Promise<T>;

/** What may end an attempt from outside. */
export interface AttemptLimits {
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  /** Infinity for none. */
  readonly limitMs: number;
  readonly onLimit: () => RetryError;
}

/**
 * Runs one attempt under its limits. Settles at once when the signal fires or time is up, even when the
 * function does not listen. Makes no timer and no controller unless there is a limit of time.
 */
export function runAttempt<T>(
  fn: AttemptFunction<T>,
  facts: Omit<Attempt, "signal" | "remainingMs">,
  limits: AttemptLimits,
): Promise<T> {
  const { clock, signal, limitMs, onLimit } = limits;
  return new Promise<T>((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const controller = limitMs === Number.POSITIVE_INFINITY ? undefined : new AbortController();
    const clear = () => {
      cancel?.();
      // When the signal has fired, `once` has removed the listener: searching for it would be quadratic.
      if (signal?.aborted === false) signal.removeEventListener("abort", onAbort);
    };
    const stop = (reason: unknown) => {
      clear();
      controller?.abort(reason);
      reject(reason);
    };
    const onAbort = () => stop(signal?.reason);
    const cancel = controller && clock.setTimer(() => stop(onLimit()), limitMs);
    signal?.addEventListener("abort", onAbort, { once: true });
    const attempt: Attempt = {
      ...facts,
      signal: controller?.signal ?? signal,
      remainingMs: controller && limitMs,
    };
    new Promise<T>((done) => done(fn(attempt))).then(resolve, reject).finally(clear);
  });
}
