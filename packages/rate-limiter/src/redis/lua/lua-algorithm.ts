/**
 * One algorithm in Lua, line for line the pure function of the same name: statements over the locals `limit`,
 * `window`, `life` (lifetime of a state, ms), `now`, `cost` and the state `time`, `used`, `before`. `born` is the
 * `time` that was read, nil for a fresh state.
 */
export interface LuaAlgorithm {
  /** Part of a state's tag, so that a state of one algorithm is never read as another's. */
  readonly tag: number;
  /** How many arguments a rule has. */
  readonly parameters: number;
  /** Which of them is `life`, from 0. */
  readonly lifetime: number;
  /** Declares what else the statements share, and a fresh state that is not zeros. */
  readonly fresh: string;
  /** Sets the state from `raw`, unless it was written under other `wipe`, `twipe` or `tag`. */
  readonly read: string;
  /** Brings the state to `now`; sets `moved` when the clock had stepped back behind it. */
  readonly settle: string;
  /** Takes `cost` when it fits, else sets `wait`: milliseconds, -1 for ever. */
  readonly charge: string;
  /** Sets `remaining` and `reset`. */
  readonly view: string;
  /** Sets `states[i]`. */
  readonly pack: string;
  /**
   * Whether the lifetime the key already has covers the new state. Setting one costs Redis as much as all else a
   * write does, so a state is given one that serves every write of its window.
   */
  readonly kept: string;
  /** The lifetime to set when it does not, ms. */
  readonly expiry: string;
  /** Gives `cost` back that was taken at `at`; sets `changed` when it did. */
  readonly refund: string;
}
