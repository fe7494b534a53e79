import type { Candidate } from "./roster.ts";

/**
 * Ranks candidates from 1, the largest score first; ties go by last use, active sessions, uses, URL and id.
 *
 * Scores are sorted as bare numbers, which takes no calls; only those that tie are compared one by one.
 */
export function rank(candidates: readonly Candidate[]): void {
  const scores = new Float64Array(candidates.length);
  for (let i = 0; i < scores.length; i++) scores[i] = -(candidates[i] as Candidate).entry.score;
  const sorted = scores.slice().sort();
  const sizes = new Uint32Array(scores.length);
  const tied = new Map<number, Candidate[]>();
  for (let i = 0; i < scores.length; i++) {
    const candidate = candidates[i] as Candidate;
    const place = firstPlace(sorted, scores[i] as number);
    candidate.entry.rank = place + 1;
    sizes[place] = (sizes[place] as number) + 1;
  }
  if (!sizes.includes(0)) return;
  for (const candidate of candidates) {
    const place = candidate.entry.rank - 1;
    if (sizes[place] === 1) continue;
    const group = tied.get(place);
    if (group === undefined) tied.set(place, [candidate]);
    else group.push(candidate);
  }
  for (const group of tied.values()) {
    group.sort(byUse);
    for (let i = 1; i < group.length; i++) (group[i] as Candidate).entry.rank += i;
  }
}

/** Index of the first of `sorted` that is not less than `score`. */
function firstPlace(sorted: Float64Array, score: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < score) low = middle + 1;
    else high = middle;
  }
  return low;
}

function byUse({ entry: a, server: one }: Candidate, { entry: b, server: other }: Candidate): number {
  return (
    b.lastUsedAt - a.lastUsedAt ||
    b.active - a.active ||
    b.uses - a.uses ||
    compare(one.url ?? one.id, other.url ?? other.id) ||
    compare(one.id, other.id)
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
