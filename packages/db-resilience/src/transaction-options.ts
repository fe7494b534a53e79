import type { DatabaseSession, LeasedSession, SessionStatementOptions } from "./database-session.ts";
import type { QueryResult, Statement } from "./query-result.ts";
import type { ReadSession } from "./read-session.ts";

/** How isolated a transaction is. */
export type IsolationLevel = "read committed" | "repeatable read" | "serializable";

/** Options of one transaction. */
export interface TransactionOptions {
  /** Default: the server's, usually read committed. */
  readonly isolation?: IsolationLevel;
  readonly readOnly?: boolean;
  /** Repetitions after a conflict; default `transactions.retries`. */
  readonly retries?: number;
  /** Deadline of the whole, repetitions included; default none beyond `timeouts.transactionMs` per attempt. */
  readonly deadlineMs?: number;
  /** Also repeat when a lock was not available in time (55P03). */
  readonly retryLockTimeout?: boolean;
  /**
   * The function may be repeated even if it has taken effect already, because it uses this key to do nothing
   * twice (a unique constraint, say).
   */
  readonly idempotencyKey?: string;
  /** Leave a marker in the transaction, so that an unknown outcome can be found out afterwards. */
  readonly settle?: boolean;
  /** Notes in this session how far it has written, for later reads. Costs one round trip. */
  readonly session?: ReadSession;
  readonly signal?: AbortSignal;
}

/** What a transaction's function works with. */
export interface TransactionSession extends DatabaseSession {
  /** 1 for the first attempt. */
  readonly attempt: number;
}

/** The session as a transaction's function sees it. */
export function asTransactionSession(session: LeasedSession, attempt: number): TransactionSession {
  return {
    attempt,
    host: session.host,
    backendPid: session.backendPid,
    query: <R extends object>(
      text: string | Statement,
      values?: readonly unknown[],
      options?: SessionStatementOptions,
    ): Promise<QueryResult<R>> => session.query<R>(text, values, options),
  };
}
