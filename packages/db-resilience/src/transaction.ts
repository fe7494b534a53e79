import type { LeasedSession } from "./database-session.ts";
import { checkedMs } from "./duration.ts";
import { DatabaseError } from "./errors.ts";
import { wrongOptions } from "./refusals.ts";
import { sleep } from "./sleep.ts";
import { settledCommitted, TransactionAttempt, type TransactionDeps } from "./transaction-attempt.ts";
import type { TransactionOptions } from "./transaction-options.ts";

/**
 * Runs `work` between BEGIN and COMMIT, and all of it anew when the server aborts it because of a conflict
 * (40001, 40P01), with full-jitter delays and within the budget.
 *
 * @throws TransactionOutcomeUnknown when the connection was lost during COMMIT and nothing tells how it ended.
 */
export async function runTransaction<T>(
  deps: TransactionDeps,
  work: (session: LeasedSession, attempt: number) => Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  const { clock, observer, budget } = deps;
  const { retries = deps.options.transactions.retries, deadlineMs } = options;
  if (!(retries >= 0)) throw wrongOptions("retries has to be 0 or more");
  const limitMs = deadlineMs === undefined ? Number.POSITIVE_INFINITY : checkedMs("deadlineMs", deadlineMs);
  const deadline = clock.monotonic() + limitMs;
  budget.deposit();
  for (let attempt = 1; ; attempt++) {
    const run = new TransactionAttempt<T>(deps, options, deadline);
    try {
      return await run.execute((session) => work(session, attempt));
    } catch (error) {
      const failure = await run.settle(error);
      if (failure === settledCommitted) return run.value as T;
      const reason = run.repeatable(failure);
      if (DatabaseError.is(failure) && failure.sqlState === "40P01") {
        observer.event?.({ type: "db_deadlock", sqlState: "40P01", attempt });
      }
      const delayMs = delayBefore(attempt, deps);
      const inTime = clock.monotonic() + delayMs < deadline;
      if (!reason || attempt > retries || !inTime || !budget.withdraw()) throw failure;
      observer.event?.({ type: "db_transaction_retry", reason, attempt, delayMs });
      if (reason === "read_only") await deps.provider.findWritable();
      await sleep(clock, delayMs, options.signal);
    }
  }
}

function delayBefore(attempt: number, { options, random }: TransactionDeps): number {
  const { baseDelayMs, maxDelayMs } = options.transactions;
  return random() * Math.min(maxDelayMs, baseDelayMs * 2 ** attempt);
}
