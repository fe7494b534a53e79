import type { BudgetAccount, BudgetLevel, BudgetScope, BudgetVerdict, SyncBudget } from "./budget.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { BudgetOptions } from "./policy.ts";
import { budgetSchema } from "./policy-schema.ts";
import { createRecentMap } from "./recent-map.ts";

/** Two purses: what calls earned, and a floor that refills with time so that quiet tools may retry too. */
interface Account {
  readonly level: BudgetLevel;
  readonly id: string;
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

const LEVELS = ["tool", "server", "tenant"] as const;

/**
 * A budget in this process, with counters for the whole, each tool, each server and each tenant.
 *
 * Each call adds `ratio` (at most `burst` is saved up), `floorPerSecond` refills by time, a retry takes one
 * from every counter it belongs to or none. So with floor 0 calls never exceed (1 + ratio) × requests.
 * At most `maxKeys` counters per level; beyond that the ones not used lately are dropped.
 */
export function createBudget(
  options: BudgetOptions = {},
  deps: {
    readonly clock?: Clock;
    /** Hears of every account that pays for a retry, and whether from what it earned or from its floor. */
    readonly onPaid?: (level: BudgetLevel, id: string, earned: boolean) => void;
  } = {},
): MemoryBudget {
  const { ratio, floorPerSecond, burst, maxKeys } = budgetSchema.parse(options);
  const { clock = systemClock, onPaid } = deps;
  const mostFloor = floorPerSecond && Math.max(1, floorPerSecond);
  const open = (level: BudgetLevel, id: string): Account => ({
    level,
    id,
    calls: 0,
    earned: 0,
    floor: mostFloor,
    filledAt: clock.now(),
    granted: 0,
    refused: 0,
  });
  const whole = open("global", "");
  const books = LEVELS.map((level) => ({
    level,
    accounts: createRecentMap((id) => open(level, id), maxKeys / 2),
  }));

  const accountsOf = (scope: BudgetScope | undefined): Account[] => {
    const found = [whole];
    if (scope === undefined) return found;
    for (const { level, accounts } of books) {
      const id = scope[level];
      if (id !== undefined) found.push(accounts.get(id));
    }
    return found;
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

  return {
    deposit(scope?: BudgetScope) {
      // Most calls have no scope, and those are not to look anything up.
      if (scope === undefined) whole.calls++;
      else for (const account of accountsOf(scope)) account.calls++;
    },
    withdraw(scope?: BudgetScope): BudgetVerdict {
      const now = clock.now();
      const accounts = accountsOf(scope);
      let remaining = Number.POSITIVE_INFINITY;
      for (const account of accounts) {
        const left = funds(account, now);
        if (left < 1) {
          account.refused++;
          return { granted: false, remaining: 0, refusedBy: account.level };
        }
        remaining = Math.min(remaining, left);
      }
      for (const account of accounts) {
        const earned = account.earned + 1e-9 >= 1;
        if (earned) account.earned--;
        else account.floor--;
        account.granted++;
        onPaid?.(account.level, account.id, earned);
      }
      return { granted: true, remaining: remaining - 1 };
    },
    accounts: () => {
      const now = clock.now();
      const all = [
        whole,
        ...books.flatMap(({ accounts }) => accounts.entries().map(([, account]) => account)),
      ];
      return all.map((account) => {
        const remaining = funds(account, now);
        const { level, id, granted, refused } = account;
        return { level, id, remaining, granted, refused };
      });
    },
  };
}
