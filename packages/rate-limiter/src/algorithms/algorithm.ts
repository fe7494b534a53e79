/** What a key is held to. Everything in tokens and whole milliseconds. */
export interface Limit {
  /** Tokens per window. */
  readonly limit: number;
  /** Length of the window. */
  readonly windowMs: number;
  /** Largest amount that may be taken at once; only `token_bucket` and `gcra` let it differ from `limit`. */
  readonly burst: number;
}

/**
 * The state of one key, the same shape for every algorithm so that one slab holds them all; each algorithm
 * documents what it keeps in which field. All zeros is a key that was never charged.
 */
export interface KeyState {
  readonly time: number;
  readonly used: number;
  readonly before: number;
  /** Pairs of (time, cost), oldest first; empty but for `sliding_log`. */
  readonly log: readonly number[];
}

/** The answer of one step: the state after it, and the verdict. One flat object, because a check makes one for each rule. */
export interface Step extends KeyState {
  /**
   * False when the state that was passed in is to be kept as it is, and nothing stored: for a refusal, unless the clock
   * stepped back, when the time in it has to be clamped to now.
   */
  readonly changed: boolean;
  readonly allowed: boolean;
  /** Whole tokens left after this step. */
  readonly remaining: number;
  /** Milliseconds until the whole limit is free again, without other traffic. */
  readonly resetMs: number;
  /** 0 when allowed; milliseconds until the same cost would pass; -1 when it never can. */
  readonly retryAfterMs: number;
}

/** The names a configuration may use. */
export type AlgorithmName = "fixed_window" | "sliding_window" | "sliding_log" | "token_bucket" | "gcra";

/**
 * A rate limiting algorithm as pure functions of (limit, state, now, cost). The memory store runs them; the
 * Lua scripts of the Redis store are tested against them. A clock that steps back counts as no time elapsed:
 * every time in a state is first clamped to `now`.
 */
export interface Algorithm {
  readonly name: AlgorithmName;
  /** Takes `cost` tokens if they are there. Cost 0 asks without taking and is always allowed. */
  step(limit: Limit, state: KeyState, now: number, cost: number): Step;
  /**
   * Gives `cost` tokens back that were taken at `takenAt`; the unchanged state when that window is over. An algorithm
   * that refills gives back what of them is not refilled. Both times are of one clock, not set back in between.
   */
  refund(limit: Limit, state: KeyState, now: number, cost: number, takenAt: number): KeyState;
  /** The time from which the state equals a fresh one. */
  expiresAt(limit: Limit, state: KeyState): number;
}

/** The log of every algorithm that keeps none. */
export const NO_LOG: readonly number[] = [];

/** A key that was never charged. */
export const FRESH: KeyState = { time: 0, used: 0, before: 0, log: NO_LOG };

/** A state without a log. */
export function keyState(time: number, used: number, before: number): KeyState {
  return { time, used, before, log: NO_LOG };
}
