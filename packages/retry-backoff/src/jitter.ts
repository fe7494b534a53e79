/**
 * How a delay is drawn below its ceiling. After "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015).
 *
 * - `none`: the ceiling itself.
 * - `full`: uniform in [1, ceiling].
 * - `equal`: half the ceiling plus a uniform half.
 * - `decorrelated`: uniform between the base and three times the previous delay, at most the maximum.
 */
export type Jitter = "none" | "full" | "equal" | "decorrelated";

/** What a delay is computed from. All in milliseconds. */
export interface DelayOptions {
  readonly baseMs: number;
  readonly maxMs: number;
  readonly jitter: Jitter;
}

/** The largest delay after failure `failure` (1-based): min(maxMs, baseMs · 2^(failure − 1)). */
export function delayCeiling(failure: number, { baseMs, maxMs }: DelayOptions): number {
  return Math.min(maxMs, baseMs * 2 ** (failure - 1));
}

/**
 * The delay before the attempt that follows failure `failure` (1-based), whole milliseconds, at least 1:
 * a drawn delay never means "give up".
 *
 * @param previousMs the delay before, for `decorrelated`; defaults to the base.
 * @param random uniform in [0, 1).
 */
export function drawDelay(
  failure: number,
  options: DelayOptions,
  random: () => number,
  previousMs: number = options.baseMs,
): number {
  const ceiling = delayCeiling(failure, options);
  switch (options.jitter) {
    case "none":
      return Math.max(1, ceiling);
    case "full":
      return 1 + Math.floor(random() * ceiling);
    case "equal":
      return Math.max(1, Math.round(ceiling / 2 + random() * (ceiling / 2)));
    case "decorrelated": {
      const span = Math.max(0, previousMs * 3 - options.baseMs);
      return Math.max(1, Math.min(options.maxMs, Math.round(options.baseMs + random() * span)));
    }
  }
}
