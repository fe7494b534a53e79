import { toDatabaseError } from "./classify-db-error.ts";
import type { ConnectionRole } from "./client-config.ts";
import type { Clock } from "./clock.ts";
import type { DatabaseError } from "./errors.ts";
import type { QueryOutcome } from "./observer.ts";
import { type HostAddress, type ParsedOptions, statementDeadlineMs } from "./options.ts";
import type { QueryResult, Row, Statement } from "./query-result.ts";
import { aborted, givenUp } from "./refusals.ts";
import { sendable } from "./sendable-statement.ts";
import { boundsTransaction } from "./statement-kind.ts";
import {
  boundaryTaint,
  missingTaint,
  type RunContext,
  type StatementGuard,
  StatementRun,
} from "./statement-run.ts";
import { Wire } from "./wire.ts";

/** How to run one statement. */
export interface StatementOptions {
  /** Aborting cancels the statement and gives the connection up. */
  readonly signal?: AbortSignal | undefined;
  /** How long the client waits; default statementMs + statementGraceMs. 0 is for ever. */
  readonly timeoutMs?: number | undefined;
  /** Asked again, where the statement has to wait, when its turn has come. */
  readonly guard?: StatementGuard | undefined;
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
  readonly #defaultTimeoutMs: number;
  readonly #context: RunContext;
  #taint: string | undefined;
  /** Statements in the order in which they were asked for: one is under way, the others wait for their turn. */
  readonly #runs = new Set<StatementRun>();
  #current: StatementRun | undefined;
  #starting = false;
  /** To be told when the connection ends. */
  readonly #hearers = new Set<(error: unknown) => void>();

  private constructor(
    address: Required<HostAddress>,
    options: ParsedOptions,
    clock: Clock,
    events: ConnectionEvents,
    role: ConnectionRole,
  ) {
    this.#options = options;
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
    this.#context = {
      wire: this.#wire,
      clock,
      takesWrites: true,
      readsOnly: false,
      taint: (reason) => this.taint(reason),
      missing: (run) => this.#missing(run),
      leave: (cancel) => void this.#leave(cancel),
      refusal: () => this.#refusal(),
      ended: (run, durationMs, outcome) => {
        this.#ended(run);
        events.measured?.(durationMs, outcome);
      },
    };
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
    if (this.#runs.size > 0) return "a statement is unfinished";
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
    else this.#hearers.add(hearer);
    return () => this.#hearers.delete(hearer);
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
    const { signal, timeoutMs = this.#defaultTimeoutMs, guard } = options;
    return new Promise((resolve, reject) => {
      // First, since the code of a value may abort the call or end the connection.
      const config = sendable(text, values);
      const refusal = signal?.aborted ? aborted(signal.reason) : this.#refusal();
      if (refusal) {
        if (boundsTransaction(config.text)) this.taint(boundaryTaint);
        this.#missing();
        return reject(refusal);
      }
      const run = new StatementRun(this.#context, config, { signal, timeoutMs, guard, resolve, reject });
      this.#runs.add(run);
      this.#startNext();
      if (this.#current !== run) run.wait();
    });
  }

  /** Whether the server takes changes in this session, as far as that was asked for. */
  get takesWrites(): boolean {
    return this.#context.takesWrites;
  }

  /**
   * Has the server refuse changes in this session, or take them again.
   *
   * @throws DatabaseError as `query` does.
   */
  async allowWrites(yes: boolean): Promise<void> {
    await this.query(`set default_transaction_read_only = ${yes ? "default" : "on"}`);
    this.#context.takesWrites = yes;
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
    if (this.#runs.size === 0) {
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

  #refusal(): DatabaseError | undefined {
    if (this.#wire.isLost) return this.#afterLoss();
    return this.#taint !== undefined || this.#wire.isEnding ? givenUp(this.#taint) : undefined;
  }

  /** A COMMIT would commit what is left of a transaction that lacks a statement, or of one whose BEGIN goes before it. */
  #missing(missing?: StatementRun): void {
    if (this.#wire.inTransaction) this.taint(missingTaint);
    for (const run of this.#runs) {
      if (run === missing || this.#taint !== undefined) return;
      if (run.bounds) this.taint(missingTaint);
    }
  }

  /** Starts the statement whose turn it is; the others wait, since what a statement does depends on those before it. */
  #startNext(): void {
    // A statement that ends while it is started leaves the next one to the loop that has started it.
    if (this.#starting) return;
    this.#starting = true;
    try {
      for (const run of this.#runs) {
        if (this.#current) break;
        const refusal = this.#refusal();
        if (refusal) run.fail(refusal);
        else {
          this.#current = run;
          run.start();
        }
      }
    } finally {
      this.#starting = false;
    }
  }

  #ended(run: StatementRun): void {
    this.#runs.delete(run);
    if (this.#current !== run) return;
    this.#current = undefined;
    this.#startNext();
  }

  #failPending(error: unknown): void {
    for (const hear of [...this.#hearers]) hear(error);
    for (const run of [...this.#runs]) run.lose(error);
  }
}
