/** Nanoseconds per call of each contender: rounds are interleaved, the median round counts. */
export async function compare(
  contenders: Readonly<Record<string, () => unknown>>,
  { rounds = 15, calls = 20_000 }: { rounds?: number; calls?: number } = {},
): Promise<Record<string, number>> {
  const samples = new Map(Object.keys(contenders).map((name) => [name, [] as number[]]));
  for (let round = -2; round < rounds; round++) {
    for (const [name, call] of Object.entries(contenders)) {
      const startedAt = process.hrtime.bigint();
      for (let i = 0; i < calls; i++) await call();
      const perCall = Number(process.hrtime.bigint() - startedAt) / calls;
      if (round >= 0) samples.get(name)?.push(perCall);
    }
  }
  return Object.fromEntries([...samples].map(([name, list]) => [name, median(list)]));
}

/** The middle of a list. */
export function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN;
}
