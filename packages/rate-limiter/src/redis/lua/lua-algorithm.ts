/**
 * One algorithm in Lua, line for line the pure function of the same name: statements over the locals `limit`,
 * `window`, `now`, `cost` and the state `time`, `used`, `before`.
 */
export interface LuaAlgorithm {
  /** Part of a state's tag, so that a state of one algorithm is never read as another's. */
  readonly tag: number;
  /** How many arguments a rule has. */
  readonly parameters: number;
  /** Which of them is the lifetime of a state, from 0. */
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
  /** Gives `cost` back that was taken at `at`; sets `changed` when it did. */
  readonly refund: string;
}
