import type { ServerAccount } from "./server-tools.ts";

/** Counters shown of one level. */
const mostShown = 50;

/** What `GET /admin/limits` shows of one counter. */
type ShownAccount = Omit<ServerAccount, "level">;

/** The counters of a budget by level; of each level those that refused most, then those with least left. */
export interface BudgetView {
  readonly global: Omit<ShownAccount, "id"> | null;
  readonly tools: readonly ShownAccount[];
  readonly servers: readonly ShownAccount[];
  readonly tenants: readonly ShownAccount[];
}

/** Sorts the counters of a budget for someone who asks why calls are not repeated. */
export function budgetView(accounts: readonly ServerAccount[]): BudgetView {
  const of = (level: ServerAccount["level"]): ShownAccount[] =>
    accounts
      .filter((account) => account.level === level)
      .toSorted((a, b) => b.refused - a.refused || left(a) - left(b))
      .slice(0, mostShown)
      .map(({ level: _, ...shown }) => shown);
  const [whole] = of("global");
  if (whole === undefined) return { global: null, tools: [], servers: [], tenants: [] };
  const { id: _, ...global } = whole;
  return { global, tools: of("tool"), servers: of("server"), tenants: of("tenant") };
}

function left({ remaining = Number.POSITIVE_INFINITY }: ServerAccount): number {
  return remaining;
}
