/** What is known of one write. */
export type Fate = "acknowledged" | "refused" | "unknown";

/** What the ledger found at the end. */
export interface LedgerReport {
  readonly writes: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
  /** Acknowledged writes that are not there. */
  readonly lost: number;
  /** Writes that are there more often than they may be. */
  readonly doubled: number;
}

/** How often a write may have taken effect in the end. */
const bounds: Readonly<Record<Fate, { readonly least: number; readonly most: number }>> = {
  acknowledged: { least: 1, most: 1 },
  refused: { least: 0, most: 0 },
  unknown: { least: 0, most: 1 },
};

/**
 * Keeps what was answered to each write, by its name. Each is judged by itself: counted together, an unknown one that
 * took effect would make up for an acknowledged one that is gone.
 */
export class Ledger {
  readonly #fates = new Map<string, Fate>();

  /** Notes how a write ended. */
  note(write: string, fate: Fate): void {
    this.#fates.set(write, fate);
  }

  /** Compares with what is there: how often each write took effect. What nobody has answered for may not be there. */
  settle(effects: ReadonlyMap<string, number>): LedgerReport {
    const report = { writes: this.#fates.size, acknowledged: 0, refused: 0, unknown: 0, lost: 0, doubled: 0 };
    for (const [write, fate] of this.#fates) {
      const { least, most } = bounds[fate];
      const there = effects.get(write) ?? 0;
      report[fate]++;
      report.lost += Math.max(0, least - there);
      report.doubled += Math.max(0, there - most);
    }
    for (const [write, there] of effects) if (!this.#fates.has(write)) report.doubled += there;
    return report;
  }
}
