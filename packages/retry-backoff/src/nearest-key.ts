/** The candidate that shares most letters with `key`, whatever their case and order; undefined when none is near. */
export function nearestKey(key: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let limit = key.length / 3;
  for (const candidate of candidates) {
    const distance = lacking(key, candidate) + lacking(candidate, key);
    if (distance > limit) continue;
    best = candidate;
    limit = distance - 1;
  }
  return best;
}

/** How many letters of `text` are not in `other`. */
function lacking(text: string, other: string): number {
  const letters = new Set(other.toLowerCase());
  return [...text.toLowerCase()].filter((letter) => !letters.has(letter)).length;
}
