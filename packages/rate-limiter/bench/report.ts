/** One measured figure; `run.ts` gathers them into the table. */
export interface Figure {
  readonly what: string;
  readonly ours: number;
  readonly unit: string;
  readonly peer?: string;
  readonly theirs?: number;
  /** The bar, in words. */
  readonly bar: string;
  readonly holds: boolean;
}

export function report(figure: Figure): void {
  process.send?.(figure);
  if (!process.send) console.log(figure);
}
