import { classifyDbError } from "./classify-db-error.ts";
import type { Clock } from "./clock.ts";
import type { LeasedSession } from "./database-session.ts";
import { longestMs } from "./duration.ts";
import { DatabaseError, TransactionOutcomeUnknown } from "./errors.ts";
import type { DatabaseObserver } from "./observer.ts";
import { type ParsedOptions, statementDeadlineMs } from "./options.ts";
import { notePosition, primaryOnly } from "./read-session.ts";
import { aborted, deadlinePassed } from "./refusals.ts";
import type { RetryBudget } from "./retry-budget.ts";
import type { SessionProvider } from "./session-provider.ts";
import type { OutcomeSettler } from "./settle-outcome.ts";
import type { TransactionOptions } from "./transaction-options.ts";
import { within } from "./within.ts";

/** What running transactions needs. */
export interface TransactionDeps {
  readonly provider: SessionProvider;
  readonly options: ParsedOptions;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observer: DatabaseObserver;
  readonly budget: RetryBudget;
  readonly settler: OutcomeSettler;
}

/** What `settle` returns when the transaction turned out to be committed. */
export const settledCommitted = Symbol("committed");

/** One run from BEGIN to COMMIT. */
export class TransactionAttempt<T> {
  value: T | undefined;
  readonly #deps: TransactionDeps;
  readonly #options: TransactionOptions;
  readonly #deadline: number;
  #session: LeasedSession | undefined;
  #marker: string | undefined;
  #begun = false;

  constructor(deps: TransactionDeps, options: TransactionOptions, deadline: number) {
    this.#deps = deps;
    this.#options = options;
    this.#deadline = deadline;
  }

  async execute(work: (session: LeasedSession) => Promise<T>): Promise<T> {
    const { provider, options } = this.#deps;
    const { signal } = this.#options;
    if (this.#options.settle) await this.#prepare();
    const session = await provider.acquire({
      signal,
      acquireTimeoutMs: Math.min(options.pool.acquireTimeoutMs, this.#left()),
      reads: this.#options.readOnly,
    });
    this.#session = session;
    try {
      await this.#begin(session);
      this.value = await this.#withinDeadline(session, work(session));
      await this.#commit(session);
      return this.value;
    } catch (error) {
      await this.#rollBack(session, error);
      throw error;
    } finally {
      provider.release(session);
    }
  }

  /** Finds out, where a marker allows it, how a COMMIT ended whose answer was lost. */
  async settle(error: unknown): Promise<unknown> {
    if (!DatabaseError.is(error) || error.class !== "unknown_outcome") return error;
    const { settler, observer } = this.#deps;
    const settled =
      this.#marker === undefined
        ? "unknown"
        : await settler.settle(this.#marker, { withinMs: this.#left(), signal: this.#options.signal });
    observer.event?.({ type: "db_outcome_unknown", settled });
    if (settled === "committed") {
      this.#options.session?.noteWrite(primaryOnly);
      return settledCommitted;
    }
    if (settled === "aborted") return lostBeforeCommit(error);
    return error;
  }

  /** The reason for which the whole may be run again, or undefined. */
  repeatable(error: unknown): DatabaseError["class"] | undefined {
    if (!DatabaseError.is(error) || this.#options.signal?.aborted) return undefined;
    const { retryLockTimeout, idempotencyKey, settle } = this.#options;
    const kind = classifyDbError(error, { retryLockTimeout: retryLockTimeout ?? false }).class;
    const harmless = idempotencyKey !== undefined;
    switch (kind) {
      case "tx_retry":
        return kind;
      case "read_only":
        return error.sqlState === "25006" ? kind : undefined;
      case "connection":
      case "server_going":
        // Without a connection nothing has been done; with one, the caller decides.
        return this.#session && (harmless || settle || !this.#begun) ? kind : undefined;
      case "unknown_outcome":
        return harmless ? kind : undefined;
      default:
        return undefined;
    }
  }

  async #begin(session: LeasedSession): Promise<void> {
    const { provider, settler } = this.#deps;
    const { isolation, readOnly, settle } = this.#options;
    const mode = [isolation ? `isolation level ${isolation}` : "", readOnly ? "read only" : ""]
      .filter(Boolean)
      .join(", ");
    await provider.begin(session, mode === "" ? "begin" : `begin ${mode}`, this.#limit());
    this.#begun = true;
    if (settle) this.#marker = await settler.leaveMarker(session, this.#limit());
  }

  /** The table for markers may have to be made first, which others may be waiting for too. */
  #prepare(): Promise<void> {
    const { settler, clock } = this.#deps;
    const leftMs = Math.min(this.#left(), longestMs);
    const late = () => deadlinePassed("transaction", leftMs);
    return within(clock, settler.prepare(), leftMs, late, this.#options.signal);
  }

  async #commit(session: LeasedSession): Promise<void> {
    const result = await session.query("commit", [], this.#limit());
    if (result.command === "ROLLBACK") throw swallowedFailure();
    if (this.#options.session) await notePosition(session, this.#options.session, this.#limit());
  }

  async #rollBack(session: LeasedSession, error: unknown): Promise<void> {
    if (error instanceof TransactionOutcomeUnknown)
      session.connection.taint("the outcome of a COMMIT is unknown");
    if (session.connection.isLost || session.connection.unusable !== "a transaction is open") return;
    await session.connection.query("rollback", [], this.#limit()).catch(() => {}); // A connection that fails in this is not used again.
  }

  /** Lets `work` run until the transaction's deadline; then its connection is given up and the work left alone. */
  #withinDeadline(session: LeasedSession, work: Promise<T>): Promise<T> {
    const { clock, options } = this.#deps;
    const { signal } = this.#options;
    const limit =
      options.timeouts.transactionMs === 0 ? Number.POSITIVE_INFINITY : options.timeouts.transactionMs;
    const timeoutMs = Math.min(limit, this.#left());
    return new Promise((resolve, reject) => {
      const stop = (error: DatabaseError) => {
        reject(error);
        session.connection.taint("the transaction was given up");
        session.connection.abandon();
      };
      const abort = () => stop(aborted(signal?.reason));
      const timer = Number.isFinite(timeoutMs)
        ? clock.setTimeout(() => stop(deadlinePassed("transaction", timeoutMs)), timeoutMs)
        : undefined;
      signal?.addEventListener("abort", abort, { once: true });
      work.then(resolve, reject).finally(() => {
        clock.clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      });
    });
  }

  /**
   * How long a statement may take that is not the caller's: what is left of the deadline of the whole, and a grace, in
   * which the answer to a COMMIT arrives that was in time.
   */
  #limit(): { readonly timeoutMs?: number } {
    if (!Number.isFinite(this.#deadline)) return {};
    const { options } = this.#deps;
    const usualMs = statementDeadlineMs(options) || Number.POSITIVE_INFINITY;
    return { timeoutMs: Math.max(1, Math.min(usualMs, this.#left() + options.timeouts.statementGraceMs)) };
  }

  #left(): number {
    return Math.max(0, this.#deadline - this.#deps.clock.monotonic());
  }
}

function swallowedFailure(): DatabaseError {
  return new DatabaseError({
    code: "db_query_invalid",
    class: "permanent",
    message:
      "The database rolled the transaction back, because a statement in it had failed and the failure was ignored.",
    retryable: false,
    httpStatus: 500,
  });
}

function lostBeforeCommit(cause: DatabaseError): DatabaseError {
  return new DatabaseError({
    code: "db_unavailable",
    class: "connection",
    message:
      "The connection to the database was lost before the transaction was committed; it has had no effect.",
    retryable: true,
    httpStatus: 503,
    retryAfterMs: 1_000,
    cause,
  });
}
