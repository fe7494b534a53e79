/** What is known of one write. */
export type Fate = "acknowledged" | "refused" | "unknown";

interface Account {
  acknowledged: number;
  refused: number;
  unknown: number;
}

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

/**
 * Counts writes per record. Every write that takes effect counts the record's revision up by one, so in the end the
 * revision tells how many did: no fewer than were acknowledged, no more than those and the unknown ones.
 */
export class Ledger {
  readonly #accounts = new Map<string, Account>();

  /** Notes how a write to a record ended. */
  note(record: string, fate: Fate): void {
    const account = this.#accounts.get(record) ?? { acknowledged: 0, refused: 0, unknown: 0 };
    this.#accounts.set(record, account);
    account[fate]++;
  }

  /** Writes that were acknowledged so far. */
  get acknowledged(): number {
    return [...this.#accounts.values()].reduce((sum, account) => sum + account.acknowledged, 0);
  }

  /** Compares with what is there: records and how many writes took effect on each. */
  settle(effects: ReadonlyMap<string, number>): LedgerReport {
    const report = { writes: 0, acknowledged: 0, refused: 0, unknown: 0, lost: 0, doubled: 0 };
    for (const [record, { acknowledged, refused, unknown }] of this.#accounts) {
      const there = effects.get(record) ?? 0;
      report.writes += acknowledged + refused + unknown;
      report.acknowledged += acknowledged;
      report.refused += refused;
      report.unknown += unknown;
      report.lost += Math.max(0, acknowledged - there);
      report.doubled += Math.max(0, there - acknowledged - unknown);
    }
    return report;
  }
}
