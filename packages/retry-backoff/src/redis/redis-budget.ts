import { createHash } from "node:crypto";
import type { Budget, BudgetAccount, BudgetLevel, BudgetScope, BudgetVerdict } from "../budget.ts";
import { type Clock, systemClock } from "../clock.ts";
import { createBudget } from "../memory-budget.ts";
import type { BudgetOptions } from "../policy.ts";
import { budgetSchema } from "../policy-schema.ts";
import { createRecentMap } from "../recent-map.ts";
import { Ledger } from "./ledger.ts";
import type { RedisClient } from "./redis-client.ts";
import { createScript } from "./run-script.ts";
import { withdrawScript } from "./withdraw.lua.ts";

/** What a {@link RedisBudget} needs. */
export interface RedisBudgetOptions extends BudgetOptions {
  readonly client: RedisClient;
  /** Key prefix. Default `gw`. */
  readonly prefix?: string;
  /** Deposits are sent at least this often. Default 1 000. */
  readonly flushMs?: number;
  /** An account nobody used for so long is forgotten. Default 600 000. */
  readonly ttlMs?: number;
  /** No answer within this time counts as an outage. Default 250. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
}

/** A budget shared by all replicas. */
export interface RedisBudget extends Budget {
  withdraw(scope?: BudgetScope): Promise<BudgetVerdict>;
  /**
   * The counters that this process used, the most refused first: what is left in Redis, and what was granted and
   * refused here.
   */
  accounts(limit?: number): Promise<BudgetAccount[]>;
  /** Tells Redis what waits; what it does not take goes on waiting. */
  flush(): Promise<void>;
  /** Tells what waits and stops. Idempotent. */
  close(): Promise<void>;
  /** Withdrawals decided without Redis, and accounts of which Redis does not know everything. */
  stats(): { readonly degraded: number; readonly pending: number };
}

/** What Redis says of an account. */
interface Booked {
  /** From which purse a retry was paid: 1 what was earned, 2 the floor; 0 from none. */
  readonly granted: 0 | 1 | 2;
  readonly remaining: number;
}

const GLOBAL = "global";
const LEVELS = ["tool", "server", "tenant"] as const;
const MAX_ID = 64;

/**
 * A budget in Redis: one hash per account, each in its own Cluster slot, booked by one script. Deposits are
 * gathered here and told with the next withdrawal or every `flushMs`, so a call that succeeds makes no round
 * trip. A withdrawal asks its accounts in parallel and gives back what the others granted when one refuses, to the purse
 * that paid.
 *
 * When Redis does not answer, this process decides alone by the same rules (`degraded: true`), and Redis is charged for
 * what it granted as soon as it answers again. Both are told as totals, which Redis books once however often it hears
 * them: so the bound holds over all replicas and over outages, but for what each had saved up (at most `burst`) and may
 * spend alone although others have spent it already.
 */
export function createRedisBudget(options: RedisBudgetOptions): RedisBudget {
  const {
    client,
    prefix = "gw",
    flushMs = 1_000,
    ttlMs = 600_000,
    timeoutMs = 250,
    clock = systemClock,
    ...rest
  } = options;
  const settings = budgetSchema.parse(rest);
  const { ratio, floorPerSecond, burst, maxKeys } = settings;
  const numbers = [ratio, floorPerSecond, burst].map((value) => Math.round(value * 1_000));
  const run = createScript(withdrawScript);
  const ledgers = createRecentMap(() => new Ledger(), maxKeys);
  /** Those of which Redis does not know everything. */
  const waiting = new Map<string, Ledger>();
  const used = createRecentMap(() => ({ granted: 0, refused: 0 }), maxKeys);
  let alone = false;
  let degraded = 0;
  let closed = false;
  let flushing: Promise<void> | undefined;
  const timer = setInterval(() => void flush(), flushMs);
  timer.unref();

  /** Where something is noted that Redis is to be told; undefined when too much waits already. */
  const open = (account: string): Ledger | undefined => {
    const known = waiting.get(account);
    if (known !== undefined || waiting.size >= maxKeys) return known;
    const ledger = ledgers.get(account);
    waiting.set(account, ledger);
    return ledger;
  };
  const local = createBudget(settings, {
    clock,
    onPaid(level, id, earned) {
      const ledger = alone ? open(accountOf(level, id)) : undefined;
      if (ledger !== undefined) ledger[earned ? "earnedSpent" : "floorSpent"]++;
    },
  });
  const withdrawAlone = (scope: BudgetScope | undefined): BudgetVerdict => {
    degraded++;
    alone = true;
    const verdict = local.withdraw(scope);
    alone = false;
    return { ...verdict, degraded: true };
  };

  const book = async (account: string, wanted: 1 | 0 | -1 | -2): Promise<Booked> => {
    const ledger = waiting.get(account) ?? ledgers.get(account);
    const { totals, booked } = ledger;
    const key = keyOf(prefix, account);
    const keys = [key, `${key}:${ledger.id}`];
    const answer = run(client, keys, [...numbers, wanted, ttlMs, ...totals, ...booked]).then((answered) => {
      ledger.acknowledge(totals);
      if (ledger.settled && waiting.get(account) === ledger) waiting.delete(account);
      return answered;
    });
    const [granted, remaining] = (await within(answer, timeoutMs)) as [Booked["granted"], number];
    return { granted, remaining };
  };

  const flushAll = async (): Promise<void> => {
    const [first, ...others] = waiting.keys();
    if (first === undefined) return;
    try {
      // Where one is not heard, the others would only be more to carry.
      await book(first, 0);
      await Promise.all(others.map((account) => book(account, 0)));
    } catch {
      // They wait for the next time.
    }
  };
  const flush = (): Promise<void> => {
    flushing ??= flushAll().finally(() => {
      flushing = undefined;
    });
    return flushing;
  };

  return {
    deposit(scope) {
      local.deposit(scope);
      for (const { account } of accountsOf(scope)) {
        const ledger = open(account);
        if (ledger !== undefined) ledger.deposits++;
      }
    },
    async withdraw(scope) {
      const accounts = accountsOf(scope);
      const answers = await Promise.allSettled(accounts.map(({ account }) => book(account, 1)));
      const grants = accounts.flatMap(({ account }, i) => {
        const answer = answers[i];
        const granted = answer?.status === "fulfilled" ? answer.value.granted : 0;
        return granted === 0 ? [] : [{ account, granted }];
      });
      const giveBack = () =>
        Promise.allSettled(grants.map(({ account, granted }) => book(account, granted === 1 ? -1 : -2)));
      if (answers.some(({ status }) => status === "rejected")) {
        await giveBack();
        return withdrawAlone(scope);
      }
      const refusal = accounts.find(({ account }) => !grants.some((grant) => grant.account === account));
      if (refusal !== undefined) {
        used.get(refusal.account).refused++;
        await giveBack();
        return { granted: false, remaining: 0, refusedBy: refusal.level };
      }
      for (const { account } of grants) used.get(account).granted++;
      // Else what was spent here would be spent again whenever Redis is away for a moment.
      local.withdraw(scope);
      const left = answers.map((answer) => (answer.status === "fulfilled" ? answer.value.remaining : 0));
      return { granted: true, remaining: Math.min(...left) };
    },
    accounts(limit = 100) {
      const mostRefused = used
        .entries()
        .toSorted(([, a], [, b]) => b.refused - a.refused || b.granted - a.granted)
        .slice(0, limit);
      return Promise.all(
        mostRefused.map(async ([account, counts]) => {
          const left = await book(account, 0).catch(() => undefined);
          return { ...nameOf(account), ...counts, remaining: left?.remaining };
        }),
      );
    },
    flush,
    async close() {
      if (closed) return;
      closed = true;
      clearInterval(timer);
      await flushing;
      await flush();
    },
    stats: () => ({ degraded, pending: waiting.size }),
  };
}

function accountsOf(scope: BudgetScope = {}) {
  const accounts: Array<{ level: BudgetLevel; account: string }> = [{ level: GLOBAL, account: GLOBAL }];
  for (const level of LEVELS) {
    const id = scope[level];
    if (id !== undefined) accounts.push({ level, account: accountOf(level, id) });
  }
  return accounts;
}

function accountOf(level: BudgetLevel, id: string): string {
  return level === GLOBAL ? GLOBAL : `${level}:${id}`;
}

function nameOf(account: string): { readonly level: BudgetLevel; readonly id: string } {
  if (account === GLOBAL) return { level: GLOBAL, id: "" };
  const colon = account.indexOf(":");
  return { level: account.slice(0, colon) as BudgetLevel, id: account.slice(colon + 1) };
}

/**
 * `gw:{b:<scope>}:budget`, the id percent-escaped, so that no name can break out of the braces. What is long is hashed, and
 * a tool that is no plain name: it may be the URI of a resource, with a secret in its query.
 */
function keyOf(prefix: string, account: string): string {
  const escaped = encodeURIComponent(account.toWellFormed());
  const hidden = escaped.length > MAX_ID || /^tool:.*[^\w./-]/s.test(account);
  const id = hidden ? createHash("sha256").update(account).digest("hex") : escaped;
  return `${prefix}:{b:${id}}:budget`;
}

async function within<T>(answer: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("Redis did not answer in time")), timeoutMs);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
