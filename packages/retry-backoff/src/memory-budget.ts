import type { BudgetAccount, BudgetLevel, BudgetScope, BudgetVerdict, SyncBudget } from "./budget.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { BudgetOptions } from "./policy.ts";
import { budgetSchema } from "./policy-schema.ts";
import { createRecentMap } from "./recent-map.ts";

/** Two purses: what calls earned, and a floor that refills with time so that quiet tools may retry too. */
interface Account {
  /** Calls that were not yet turned into what they earned: a success is to cost no more than this count. */
  calls: number;
  earned: number;
  floor: number;
  filledAt: number;
  granted: number;
  refused: number;
}

/** A memory budget and what it holds. */
export interface MemoryBudget extends SyncBudget {
  /** Every counter, at most `maxKeys` of a level. */
  accounts(): BudgetAccount[];
}

const LEVELS = ["global", "tool", "server", "tenant"] as const;

/**
 * A budget in this process, with counters for the whole, each tool, each server and each tenant.
 *
 * Each call adds `ratio` (at most `burst` is saved up), `floorPerSecond` refills by time, a retry takes one
 * from every counter it belongs to or none. So with floor 0 calls never exceed (1 + ratio) × requests.
 * At most `maxKeys` counters per level; beyond that the ones not used lately are dropped.
 */
export function createBudget(
  options: BudgetOptions = {},
  deps: { readonly clock?: Clock } = {},
): MemoryBudget {
  const { ratio, floorPerSecond, burst, maxKeys } = budgetSchema.parse(options);
  const { clock = systemClock } = deps;
  const mostFloor = floorPerSecond && Math.max(1, floorPerSecond);
  const open = (): Account => ({
    calls: 0,
    earned: 0,
    floor: mostFloor,
    filledAt: clock.now(),
    granted: 0,
    refused: 0,
  });
  const books = LEVELS.map((level) => ({ level, accounts: createRecentMap(open, maxKeys / 2) }));

  const visit = (scope: BudgetScope, use: (account: Account, level: BudgetLevel) => void) => {
    for (const { level, accounts } of books) {
      const id = level === "global" ? "" : scope[level];
      if (id !== undefined) use(accounts.get(id), level);
    }
  };
  // Most calls have no scope, and those are not to look anything up.
  let whole = open();
  visit({}, (account) => {
    whole = account;
  });
  const earn = (account: Account) => {
    account.calls++;
  };
  // Summing 0.2 five times must give one retry, whatever binary fractions make of it.
  const funds = (account: Account, now: number): number => {
    account.earned = Math.min(burst, account.earned + account.calls * ratio);
    account.calls = 0;
    const elapsed = Math.max(0, now - account.filledAt);
    account.floor = Math.min(mostFloor, account.floor + (elapsed / 1_000) * floorPerSecond);
    account.filledAt += elapsed;
    return Math.floor(account.earned + 1e-9) + Math.floor(account.floor + 1e-9);
  };
  const pay = (account: Account) => {
    account[account.earned + 1e-9 >= 1 ? "earned" : "floor"]--;
    account.granted++;
  };

  return {
    deposit(scope?: BudgetScope) {
      if (scope) visit(scope, earn);
      else earn(whole);
    },
    withdraw(scope: BudgetScope = {}): BudgetVerdict {
      const now = clock.now();
      let remaining = Number.POSITIVE_INFINITY;
      let refusedBy: BudgetLevel | undefined;
      visit(scope, (account, level) => {
        const left = funds(account, now);
        if (left < 1 && remaining >= 1) {
          refusedBy = level;
          account.refused++;
        }
        remaining = Math.min(remaining, left);
      });
      if (refusedBy) return { granted: false, remaining: 0, refusedBy };
      visit(scope, pay);
      return { granted: true, remaining: remaining - 1 };
    },
    accounts: () =>
      books.flatMap(({ level, accounts }) =>
        accounts.entries().map(([id, account]) => {
          const remaining = funds(account, clock.now());
          const { granted, refused } = account;
          return { level, id, remaining, granted, refused };
        }),
      ),
  };
}
