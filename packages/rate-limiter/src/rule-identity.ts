import type { AlgorithmName } from "./algorithms/algorithm.ts";
import type { Rate } from "./rate.ts";
import type { Dimension } from "./subject.ts";

const MARKS: Readonly<Record<AlgorithmName, string>> = {
  fixed_window: "f",
  sliding_window: "s",
  sliding_log: "l",
  token_bucket: "b",
  gcra: "g",
};

/** Algorithms that keep what is owed instead of what was taken: what it comes to depends on limit and burst. */
const OWING: ReadonlySet<AlgorithmName> = new Set(["token_bucket", "gcra"]);

/**
 * What tells the counters of one rule from those of another, as a part of a key's name: the rule's name, its window in
 * seconds and its algorithm, `by_user@60f`; under `token_bucket` and `gcra` burst and limit, `by_user@60b~100-40`, since
 * a state of one pair says nothing under another; and what a rule of one's own making counts by, `pair@60f.user+tool`.
 */
export function ruleIdentity(
  name: string,
  by: readonly Dimension[],
  algorithm: AlgorithmName,
  { limit, windowMs }: Rate,
  burst: number,
): string {
  const counts = OWING.has(algorithm) ? `~${burst}-${limit}` : "";
  const counted = name.startsWith("by_") ? "" : `.${by.join("+")}`;
  return `${name}@${windowMs / 1_000}${MARKS[algorithm]}${counts}${counted}`;
}
