import type { BudgetAccount, BudgetScope } from "@gatewright/retry-backoff";
import type { KeptBudget } from "./retry-layer.ts";

/** Stands between a server and a tool. Ids of servers have none. */
const separator = "/";

/** A counter of a budget; of a tool, with the server that has it. */
export type ServerAccount = BudgetAccount & { readonly server?: string };

/** A budget in which tools of the same name at two servers have one counter each. */
export function withServerTools(budget: KeptBudget): KeptBudget {
  return {
    deposit: (scope) => budget.deposit(ofServer(scope)),
    withdraw: (scope) => budget.withdraw(ofServer(scope)),
    accounts: async () => (await budget.accounts()).map(split),
    ...(budget.stats && { stats: budget.stats }),
    ...(budget.close && { close: budget.close }),
  };
}

function ofServer(scope: BudgetScope | undefined): BudgetScope | undefined {
  if (scope?.tool === undefined || scope.server === undefined) return scope;
  const { tool, server, tenant } = scope;
  return { tool: server + separator + tool, server, tenant };
}

function split(account: BudgetAccount): ServerAccount {
  const at = account.level === "tool" ? account.id.indexOf(separator) : -1;
  return at < 0 ? account : { ...account, id: account.id.slice(at + 1), server: account.id.slice(0, at) };
}
