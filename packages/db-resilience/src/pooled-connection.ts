import type { QueryResult as DriverResult, QueryConfig } from "pg";
import { classifyDbError, endsSession, toDatabaseError } from "./classify-db-error.ts";
import type { ConnectionRole } from "./client-config.ts";
import type { Clock } from "./clock.ts";
import { startDeadline } from "./deadline.ts";
import { type DatabaseError, TransactionOutcomeUnknown } from "./errors.ts";
import type { QueryOutcome } from "./observer.ts";
import { type HostAddress, type ParsedOptions, statementDeadlineMs } from "./options.ts";
import type { QueryResult, Row, Statement } from "./query-result.ts";
import { aborted, deadlinePassed, givenUp } from "./refusals.ts";
import { beginsReadOnly, boundsTransaction, commitsByItself, isCommit } from "./statement-kind.ts";
import { sendableValues } from "./statement-values.ts";
import { Wire } from "./wire.ts";

/** How to run one statement. */
export interface StatementOptions {
  /** Aborting cancels the statement and gives the connection up. */
  readonly signal?: AbortSignal | undefined;
  /** How long the client waits; default statementMs + statementGraceMs. 0 is for ever. */
  readonly timeoutMs?: number | undefined;
}

/** What a connection tells its pool. */
export interface ConnectionEvents {
  /** The connection was lost while idle or in use; called once. */
  lost(connection: PooledConnection, error: unknown): void;
  /** A statement has ended. */
  measured?(durationMs: number, outcome: QueryOutcome): void;
  /** Something was sent to a channel that this connection listens on. */
  notified?(channel: string, payload: string): void;
}

/** The taint of a connection that did not answer in time, perhaps because the network swallows everything. */
export const deadlineTaint = "a deadline passed";

/**
 * One connection to PostgreSQL for its whole life: it knows whether it may be used again, and gives itself up — cancel
 * request, then destruction — when a deadline passes.
 */
export class PooledConnection {
  readonly openedAtMs: number;
  /** Set by the pool. */
  generation = 0;
  expiresAtMs = Number.POSITIVE_INFINITY;
  lastUsedAtMs: number;

  readonly #wire: Wire;
  readonly #options: ParsedOptions;
  readonly #clock: Clock;
  readonly #events: ConnectionEvents;
  readonly #defaultTimeoutMs: number;
  #running = 0;
  #takesWrites = true;
  /** The transaction that is open, if one is, was begun as read-only. */
  #readsOnly = false;
  #taint: string | undefined;
  /** To be told when the connection ends: statements under way, and who wants to hear of it. */
  readonly #pending = new Set<(error: unknown) => void>();

  private constructor(
    address: Required<HostAddress>,
    options: ParsedOptions,
    clock: Clock,
    events: ConnectionEvents,
    role: ConnectionRole,
  ) {
    this.#options = options;
    this.#clock = clock;
    this.#events = events;
    this.openedAtMs = clock.monotonic();
    this.lastUsedAtMs = this.openedAtMs;
    this.#defaultTimeoutMs = statementDeadlineMs(options);
    this.#wire = new Wire(address, options, clock, role, {
      lost: (error) => {
        this.#failPending(error);
        events.lost(this, error);
      },
      ...(events.notified ? { notified: (channel, payload) => events.notified?.(channel, payload) } : {}),
    });
  }

  /**
   * Opens a connection within `connectTimeoutMs`.
   *
   * @throws DatabaseError as the table says.
   */
  static async open(
    address: Required<HostAddress>,
    options: ParsedOptions,
    clock: Clock,
    events: ConnectionEvents,
    { role = "pool", signal }: { role?: ConnectionRole; signal?: AbortSignal } = {},
  ): Promise<PooledConnection> {
    const connection = new PooledConnection(address, options, clock, events, role);
    await connection.#wire.open(signal);
    return connection;
  }

  /** Why the connection must not be used again, or undefined. */
  get unusable(): string | undefined {
    if (this.#wire.isLost) return "the connection was lost";
    if (this.#taint !== undefined) return this.#taint;
    if (this.#running > 0) return "a statement is unfinished";
    if (this.#wire.status !== "I") return "a transaction is open";
    return undefined;
  }

  get isLost(): boolean {
    return this.#wire.isLost || this.#wire.isEnding;
  }

  /** Settles when the socket is destroyed. */
  get closed(): Promise<void> {
    return this.#wire.closed;
  }

  /** Calls `hearer` when the connection ends, whoever ends it, at once where it has; returns how to stop that. */
  onEnd(hearer: (error: unknown) => void): () => void {
    if (this.isLost) hearer(this.#wire.lostBy);
    else this.#pending.add(hearer);
    return () => this.#pending.delete(hearer);
  }

  /** Process id of the backend. */
  get backendPid(): number {
    return this.#wire.backendPid;
  }

  /** Marks the connection as not to be used again. */
  taint(reason: string): void {
    this.#taint ??= reason;
  }

  /** Lets the process end in spite of this connection, or not. */
  keepProcessAlive(yes: boolean): void {
    this.#wire.keepProcessAlive(yes);
  }

  /**
   * Runs one statement. A COMMIT is never cancelled.
   *
   * @throws DatabaseError; `db_timeout` when the client's deadline passes, `db_aborted`; `TransactionOutcomeUnknown` where
   * a COMMIT, or a statement outside a transaction that changes something, gets no answer or is aborted.
   */
  query<R extends object = Row>(
    text: string | Statement,
    values?: readonly unknown[],
    options: StatementOptions = {},
  ): Promise<QueryResult<R>> {
    const wire = this.#wire;
    const { signal, timeoutMs = this.#defaultTimeoutMs } = options;
    return new Promise((resolve, reject) => {
      if (wire.isLost) return reject(this.#afterLoss());
      if (this.#taint !== undefined || wire.isEnding) return reject(givenUp(this.#taint));
      if (signal?.aborted) return reject(aborted(signal.reason));
      const given = typeof text === "string" ? { text, values } : text;
      const config = { ...given, values: sendableValues(given.values) } as QueryConfig;
      const commit = wire.inTransaction && isCommit(config.text);
      const commits = commit || (!wire.inTransaction && commitsByItself(config.text));
      this.#readsOnly = (wire.inTransaction && this.#readsOnly) || beginsReadOnly(config.text);
      const start = this.#clock.monotonic();
      let settled = false;
      const settle = (outcome: QueryOutcome): boolean => {
        if (settled) return false;
        settled = true;
        this.#running--;
        this.#pending.delete(lose);
        clearDeadline();
        signal?.removeEventListener("abort", abort);
        this.#events.measured?.(this.#clock.monotonic() - start, outcome);
        return true;
      };
      const fail = (error: DatabaseError) => {
        if (settle(error.code)) reject(error);
      };
      /** What the server said before the connection ended tells more than its end. */
      let said: DatabaseError | undefined;
      const lose = (error: unknown) =>
        fail(said ?? (commits ? new TransactionOutcomeUnknown(error) : toDatabaseError(error)));
      const giveUp = (error: DatabaseError, why: string) => {
        fail(error);
        this.taint(why);
        void this.#leave(!commit);
      };
      const abort = () => {
        const error = aborted(signal?.reason);
        giveUp(commits ? new TransactionOutcomeUnknown(error) : error, "a statement was aborted");
      };
      const clearDeadline = startDeadline(this.#clock, timeoutMs, () => {
        const error = deadlinePassed("statement", timeoutMs);
        giveUp(commits ? new TransactionOutcomeUnknown(error) : error, deadlineTaint);
      });
      signal?.addEventListener("abort", abort, { once: true });
      this.#running++;
      this.#pending.add(lose);

      wire.send(config, commits, (error: Error | null, result: DriverResult | DriverResult[]) => {
        // What was said first stands: where pg fails to write a statement it says so, and then that all is done.
        if (settled || said) return;
        if (error) {
          const readOnlyByChoice = this.#readsOnly || !this.#takesWrites;
          const wrapped = toDatabaseError(error, { duringCommit: commits, readOnlyByChoice });
          const failure =
            wrapped.class === "unknown_outcome" && commits ? new TransactionOutcomeUnknown(error) : wrapped;
          said = failure;
          if (boundsTransaction(config.text)) this.taint("a BEGIN, COMMIT or ROLLBACK failed");
          if (classifyDbError(error).connectionLost || endsSession(error)) wire.lose(error);
          // The server reports the error before it is ready again; only then its transaction status is known.
          wire.whenReady().then((ready) => {
            if (!ready) this.taint("the server did not become ready after an error");
            fail(failure);
          });
        } else if (wire.unconfirmed) {
          this.taint("waiting for the standby was cancelled");
          fail(new TransactionOutcomeUnknown(undefined, { reason: "not confirmed by the standby" }));
        } else if (settle("ok")) {
          // Of several statements in one text the last one's, as libpq does.
          resolve((Array.isArray(result) ? result.at(-1) : result) as unknown as QueryResult<R>);
        }
      });
    });
  }

  /** Whether the server takes changes in this session, as far as that was asked for. */
  get takesWrites(): boolean {
    return this.#takesWrites;
  }

  /**
   * Has the server refuse changes in this session, or take them again.
   *
   * @throws DatabaseError as `query` does.
   */
  async allowWrites(yes: boolean): Promise<void> {
    await this.query(`set default_transaction_read_only = ${yes ? "default" : "on"}`);
    this.#takesWrites = yes;
  }

  /** Asks the server for a sign of life within `validationTimeoutMs`; true when it came. */
  async validate(): Promise<boolean> {
    try {
      await this.query("select 1", undefined, { timeoutMs: this.#options.pool.validationTimeoutMs });
      return true;
    } catch {
      this.taint("it did not answer");
      return false;
    }
  }

  /** Says goodbye to the server and closes the socket. */
  end(): void {
    this.#wire.end();
  }

  /** Closes the socket at once; statements under way fail. Idempotent. */
  destroy(): void {
    this.#wire.destroy();
    this.#failPending(new Error("Connection terminated"));
  }

  /** Cancels what is running and closes the socket; not to be called while COMMIT is on its way. */
  abandon(): void {
    if (this.#running === 0) {
      this.destroy();
      return;
    }
    this.taint("it was given up");
    void this.#leave(true);
    this.#failPending(new Error("Connection terminated"));
  }

  async #leave(cancel: boolean): Promise<void> {
    if (cancel) await this.#wire.cancel();
    this.destroy();
  }

  /** A session that the server has ended by a timeout of its own was not lost with the server. */
  #afterLoss(): DatabaseError {
    const error = toDatabaseError(this.#wire.lostBy);
    return error.class === "timeout" ? error : givenUp("the connection was lost");
  }

  #failPending(error: unknown): void {
    for (const lose of [...this.#pending]) lose(error);
  }
}
