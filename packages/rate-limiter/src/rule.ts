import type { Algorithm, Limit } from "./algorithms/algorithm.ts";
import type { Dimension } from "./subject.ts";

/** One rule, ready to be checked: what it counts by and what it allows. */
export interface Rule extends Limit {
  /** The name in the configuration: `by_user`, `by_tool`, or that of a composite rule. */
  readonly name: string;
  /** What the key is made of: `user`, or `user+tool`. */
  readonly kind: string;
  readonly algorithm: Algorithm;
  /**
   * Name, window, algorithm and what a key is made of, as a part of a key's name: rules that differ in one of these
   * count apart, also when both are in use over one store.
   */
  readonly identity: string;
  readonly by: readonly Dimension[];
}

/** One counter that a check charges. */
export interface Charge {
  readonly rule: Rule;
  /** Whose counter it is, at most 64 characters. */
  readonly id: string;
}
