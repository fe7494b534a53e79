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

/**
 * What tells the counters of one rule from those of another, as a part of a key's name: the rule's name, its window in
 * seconds and its algorithm, `by_user@60f`; what a rule of one's own making counts by, `pair@60f.user+tool`; and where
 * the burst is not the limit, their ratio, `by_user@60b~5-2`, since it sets how long a state is good for.
 */
export function ruleIdentity(
  name: string,
  by: readonly Dimension[],
  algorithm: AlgorithmName,
  { limit, windowMs }: Rate,
  burst: number,
): string {
  const shared = greatestDivisor(burst, limit);
  const ratio = burst === limit ? "" : `~${burst / shared}-${limit / shared}`;
  const counted = name.startsWith("by_") ? "" : `.${by.join("+")}`;
  return `${name}@${windowMs / 1_000}${MARKS[algorithm]}${ratio}${counted}`;
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
