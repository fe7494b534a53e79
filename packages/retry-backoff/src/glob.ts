import { createRecentMap } from "./recent-map.ts";

const MOST_NAMES = 1_000;

/**
 * Finds the value of the glob that fits a name best: an exact name beats a glob, a longer glob a shorter one.
 * Answers are remembered, at most 1 000 of them.
 */
export function createGlobLookup<T>(
  entries: ReadonlyArray<readonly [string, T]>,
  otherwise: T,
): (name: string) => T {
  if (entries.length === 0) return () => otherwise;
  const weight = (glob: string) => (/[*?]/.test(glob) ? glob.length : MOST_NAMES);
  const heaviestFirst = entries.toSorted(([a], [b]) => weight(b) - weight(a));
  const find = (name: string) => heaviestFirst.find(([glob]) => matchesGlob(glob, name))?.[1] ?? otherwise;
  return createRecentMap(find, MOST_NAMES / 2).get;
}

/**
 * Matches `text` against `pattern`, where `*` stands for any run of characters and `?` for one.
 * Greedy with one backtrack point, so the cost is at most pattern × text and never exponential.
 */
function matchesGlob(pattern: string, text: string): boolean {
  let p = 0;
  let star = -1;
  let mark = 0;
  for (let t = 0; t < text.length; t++, p++) {
    if (pattern[p] === "*") {
      star = p;
      mark = t--;
    } else if (pattern[p] !== "?" && pattern[p] !== text[t]) {
      if (star < 0) return false;
      p = star;
      t = mark++;
    }
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}
