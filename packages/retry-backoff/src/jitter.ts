/**
 * How a delay is drawn below its ceiling. After "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015).
 *
 * - `none`: the ceiling itself.
 * - `full`: uniform in [1, ceiling].
 * - `equal`: half the ceiling plus a uniform half.
 * - `decorrelated`: uniform between the base and three times the previous delay, at most the maximum.
 */
export type Jitter = "none" | "full" | "equal" | "decorrelated";

/** What a delay is computed from. All in milliseconds, at least 1. */
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
  const { baseMs, maxMs, jitter } = options;
  const ceiling = Math.floor(delayCeiling(failure, options));
  switch (jitter) {
    case "none":
      return ceiling;
    case "full":
      return 1 + Math.floor(random() * ceiling);
    case "equal":
      return between(random, ceiling / 2, ceiling);
    case "decorrelated":
      return Math.min(Math.floor(maxMs), between(random, baseMs, Math.max(baseMs, previousMs * 3)));
  }
}

function between(random: () => number, least: number, most: number): number {
  return Math.round(least + random() * (most - least));
}
