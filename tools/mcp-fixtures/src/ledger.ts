/** One execution of a tool that has a side effect. */
export interface LedgerEntry {
  /** Named by the caller, so that two executions of one call can be told from two calls. */
  readonly key: string;
  readonly tool: string;
  /** The legacy session, or `stateless`. */
  readonly session: string;
  readonly amount: number;
}

/** What a server has really done, in order; the truth a test compares with what its clients were told. */
export interface Ledger {
  record(entry: LedgerEntry): void;
  /** How often the call of that key was executed. */
  executions(key: string): number;
  /** Keys that were executed more than once, with how often. */
  duplicates(): Readonly<Record<string, number>>;
  /** Sum of the amounts per session. */
  totals(): Readonly<Record<string, number>>;
  entries(): readonly LedgerEntry[];
}

/** Keeps at most `maxEntries` (default 1 000 000) and refuses more: a ledger with holes proves nothing. */
export function createLedger(maxEntries = 1_000_000): Ledger {
  const entries: LedgerEntry[] = [];
  const byKey = new Map<string, number>();
  const bySession = new Map<string, number>();
  return {
    record(entry) {
      if (entries.length >= maxEntries) throw new Error(`the ledger is full: ${maxEntries} entries`);
      entries.push(entry);
      byKey.set(entry.key, (byKey.get(entry.key) ?? 0) + 1);
      bySession.set(entry.session, (bySession.get(entry.session) ?? 0) + entry.amount);
    },
    executions: (key) => byKey.get(key) ?? 0,
    duplicates: () => Object.fromEntries([...byKey].filter(([, count]) => count > 1)),
    totals: () => Object.fromEntries(bySession),
    entries: () => entries,
  };
}
