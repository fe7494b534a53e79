/** Longer ones are no slip of the pen, and comparing costs length × length. */
const LONGEST = 64;

/** The known key with the smallest edit distance (Levenshtein), letters alike in either case; undefined when none is near. */
export function nearestKey(wrong: string, known: readonly string[]): string | undefined {
  if (wrong.length > LONGEST) return undefined;
  const [best] = known
    .map((key) => ({ key, distance: editDistance(wrong.toLowerCase(), key.toLowerCase()) }))
    .filter(({ distance }) => distance <= wrong.length / 2)
    .toSorted((a, b) => a.distance - b.distance);
  return best?.key;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [above, letter] of [...a].entries()) {
    const next = [above + 1];
    for (const [at, other] of [...b].entries()) {
      const [left = 0, corner = 0, top = 0] = [next[at], row[at], row[at + 1]];
      next.push(Math.min(left + 1, top + 1, corner + Number(letter !== other)));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
