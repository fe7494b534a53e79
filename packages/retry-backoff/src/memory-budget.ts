import type { BudgetScope, BudgetVerdict, SyncBudget } from "./budget.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { BudgetOptions } from "./policy.ts";
import { budgetSchema } from "./policy-schema.ts";

/** Two purses: what calls earned, and a floor that refills with time so that quiet tools may retry too. */
interface Account {
  earned: number;
  floor: number;
  filledAt: number;
}

/** A memory budget and what it holds. */
export interface MemoryBudget extends SyncBudget {
  /** Number of counters and the retries the global one would grant now. */
  stats(): {
    readonly keys: number;
    readonly remaining: number;
    readonly granted: number;
    readonly refused: number;
  };
}

type Level = keyof BudgetScope | "global";

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
  deps: { readonly clock?: Clock } = {},
): MemoryBudget {
  const { ratio, floorPerSecond, burst, maxKeys } = budgetSchema.parse(options);
  const { clock = systemClock } = deps;
  const open = (): Account => ({ earned: 0, floor: floorPerSecond, filledAt: clock.now() });
  const whole = open();
  const books = LEVELS.map((level) => ({ level, ...createBook(open, Math.ceil(maxKeys / 2)) }));
  let granted = 0;
  let refused = 0;

  const visit = (scope: BudgetScope, use: (account: Account, level: Level) => void) => {
    use(whole, "global");
    for (const { level, get } of books) {
      const key = scope[level];
      if (key !== undefined) use(get(key), level);
    }
  };
  const earn = (account: Account) => {
    account.earned = Math.min(burst, account.earned + ratio);
  };
  // Summing 0.2 five times must give one retry, whatever binary fractions make of it.
  const funds = (account: Account, now: number): number => {
    const refill = ((now - account.filledAt) / 1_000) * floorPerSecond;
    account.floor = Math.min(floorPerSecond, account.floor + refill);
    account.filledAt = now;
    return Math.floor(account.earned + 1e-9) + Math.floor(account.floor + 1e-9);
  };
  const pay = (account: Account) => {
    account[account.earned + 1e-9 >= 1 ? "earned" : "floor"]--;
  };

  return {
    deposit(scope?: BudgetScope) {
      if (scope === undefined) earn(whole);
      else visit(scope, earn);
    },
    withdraw(scope: BudgetScope = {}): BudgetVerdict {
      const now = clock.now();
      let remaining = Number.POSITIVE_INFINITY;
      let refusedBy: BudgetVerdict["refusedBy"];
      visit(scope, (account, level) => {
        const left = funds(account, now);
        if (left < 1) refusedBy ??= level;
        remaining = Math.min(remaining, left);
      });
      if (refusedBy !== undefined) {
        refused++;
        return { granted: false, remaining: 0, refusedBy };
      }
      granted++;
      visit(scope, pay);
      return { granted: true, remaining: remaining - 1 };
    },
    stats: () => ({
      keys: books.reduce((sum, book) => sum + book.size(), 1),
      remaining: funds(whole, clock.now()),
      granted,
      refused,
    }),
  };
}

interface Book {
  get(key: string): Account;
  size(): number;
}

/** Two generations: what was not asked for while the young one filled up is dropped with the old one. */
function createBook(open: () => Account, perGeneration: number): Book {
  let young = new Map<string, Account>();
  let old = new Map<string, Account>();
  return {
    get(key) {
      const known = young.get(key);
      if (known !== undefined) return known;
      const account = old.get(key) ?? open();
      old.delete(key);
      if (young.size >= perGeneration) {
        old = young;
        young = new Map();
      }
      young.set(key, account);
      return account;
    },
    size: () => young.size + old.size,
  };
}
