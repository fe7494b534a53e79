/**
 * Nanoseconds per call of each contender: rounds are interleaved and the fastest round counts, as whatever else the
 * machine does can only add to a round.
 */
export async function compare(
  contenders: Readonly<Record<string, () => unknown>>,
  { rounds = 300, calls = 1_000 }: { rounds?: number; calls?: number } = {},
): Promise<Record<string, number>> {
  const fastest: Record<string, number> = {};
  for (let round = -Math.ceil(rounds / 10); round < rounds; round++) {
    for (const [name, call] of Object.entries(contenders)) {
      const startedAt = process.hrtime.bigint();
      for (let i = 0; i < calls; i++) await call();
      const perCall = Number(process.hrtime.bigint() - startedAt) / calls;
      if (round >= 0) fastest[name] = Math.min(fastest[name] ?? Number.POSITIVE_INFINITY, perCall);
    }
  }
  return fastest;
}

/** The middle of a list. */
export function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN;
}
