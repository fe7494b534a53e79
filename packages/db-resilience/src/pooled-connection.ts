import type { EventEmitter } from "node:events";
import { Socket } from "node:net";
import { Client, type QueryResult as DriverResult, type QueryConfig } from "pg";
import { sendCancelRequest } from "./cancel-request.ts";
import { classifyDbError, toDatabaseError } from "./classify-db-error.ts";
import { type ConnectionRole, clientConfig } from "./client-config.ts";
import type { Clock } from "./clock.ts";
import { type DatabaseError, TransactionOutcomeUnknown } from "./errors.ts";
import type { QueryOutcome } from "./observer.ts";
import type { HostAddress, ParsedOptions } from "./options.ts";
import type { QueryResult, Row, Statement } from "./query-result.ts";
import { aborted, connectTimedOut, deadlinePassed, givenUp } from "./refusals.ts";

/** How to run one statement. */
export interface StatementOptions {
  /** Aborting cancels the statement and gives the connection up. */
  readonly signal?: AbortSignal | undefined;
  /** How long the client waits; default statementMs + statementGraceMs. 0 is for ever. */
  readonly timeoutMs?: number | undefined;
  /** The statement is COMMIT: it is never cancelled, and its loss is an unknown outcome. */
  readonly commit?: boolean | undefined;
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

/** Node's side of pg's client that its types leave out. */
interface ClientInternals {
  readonly connection: EventEmitter;
  readonly processID: number | null;
  readonly secretKey: number | null;
}

interface Notice {
  readonly routine?: string | undefined;
}

/** The taint of a connection that did not answer in time, perhaps because the network swallows everything. */
export const deadlineTaint = "a deadline passed";

/** How long a cancel request, or the end of an erring statement, is waited for. */
const lastWordsMs = 500;

/**
 * One connection to PostgreSQL for its whole life: it always has an error listener, knows whether it may be
 * used again, and gives itself up — cancel request, then destruction — when a deadline passes.
 */
export class PooledConnection {
  readonly openedAtMs: number;
  /** Set by the pool. */
  generation = 0;
  expiresAtMs = Number.POSITIVE_INFINITY;
  lastUsedAtMs: number;
  /** Settles when the socket is destroyed. */
  readonly closed: Promise<void>;

  readonly #client: Client;
  readonly #socket: Socket;
  readonly #address: Required<HostAddress>;
  readonly #options: ParsedOptions;
  readonly #clock: Clock;
  readonly #events: ConnectionEvents;
  readonly #defaultTimeoutMs: number;
  #running = 0;
  #taint: string | undefined;
  #lost: unknown;
  #ending = false;
  #status: "I" | "T" | "E" | undefined;
  #ready: (() => void)[] = [];
  #syncWaitCancelled = false;
  readonly #pending = new Set<(error: unknown) => void>();

  private constructor(
    address: Required<HostAddress>,
    options: ParsedOptions,
    clock: Clock,
    events: ConnectionEvents,
    role: ConnectionRole,
  ) {
    this.#address = address;
    this.#options = options;
    this.#clock = clock;
    this.#events = events;
    this.openedAtMs = clock.monotonic();
    this.lastUsedAtMs = this.openedAtMs;
    const { statementMs, statementGraceMs } = options.timeouts;
    this.#defaultTimeoutMs = statementMs === 0 ? 0 : statementMs + statementGraceMs;
    this.#socket = new Socket();
    this.#client = new Client(clientConfig(address, options, this.#socket, role));
    this.closed = new Promise((resolve) => this.#socket.once("close", () => resolve()));
    this.#client.on("error", (error) => this.#onLost(error));
    this.#client.on("end", () => this.#onLost(new Error("Connection terminated unexpectedly")));
    this.#client.on("notice", (notice: Notice) => {
      if (notice.routine === "SyncRepWaitForLSN") this.#syncWaitCancelled = true;
    });
    if (events.notified) {
      this.#client.on("notification", ({ channel, payload }) => events.notified?.(channel, payload ?? ""));
    }
    this.#internals.connection.on("readyForQuery", (message: { status?: "I" | "T" | "E" }) => {
      this.#status = message.status;
      for (const resolve of this.#ready.splice(0)) resolve();
    });
  }

  /**
   * Opens a connection within `connectTimeoutMs`; the name is resolved anew each time.
   *
   * @throws DatabaseError as the table says; db_timeout and aborted connects leave no socket behind.
   */
  static async open(
    address: Required<HostAddress>,
    options: ParsedOptions,
    clock: Clock,
    events: ConnectionEvents,
    { role = "pool", signal }: { role?: ConnectionRole; signal?: AbortSignal } = {},
  ): Promise<PooledConnection> {
    const connection = new PooledConnection(address, options, clock, events, role);
    const { connectTimeoutMs } = options.pool;
    await new Promise<void>((resolve, reject) => {
      const give = (error?: unknown) => {
        clock.clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        if (error === undefined) return resolve();
        connection.destroy();
        reject(error);
      };
      const abort = () => give(aborted(signal?.reason));
      const timer = clock.setTimeout(() => give(connectTimedOut()), connectTimeoutMs);
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort, { once: true });
      connection.#client.connect().then(
        () => give(),
        (error: unknown) => give(toDatabaseError(error)),
      );
    });
    return connection;
  }

  /** Why the connection must not be used again, or undefined. */
  get unusable(): string | undefined {
    if (this.#lost !== undefined) return "the connection was lost";
    if (this.#taint !== undefined) return this.#taint;
    if (this.#running > 0) return "a statement is unfinished";
    if (this.#status !== "I") return "a transaction is open";
    return undefined;
  }

  get isLost(): boolean {
    return this.#lost !== undefined || this.#ending;
  }

  /** Process id of the backend. */
  get backendPid(): number {
    return this.#internals.processID ?? 0;
  }

  /** Whether a transaction is open, as the server last said. */
  get inTransaction(): boolean {
    return this.#status !== "I";
  }

  /** Marks the connection as not to be used again. */
  taint(reason: string): void {
    this.#taint ??= reason;
  }

  /** Lets the process end in spite of this connection, or not. */
  keepProcessAlive(yes: boolean): void {
    if (yes) this.#socket.ref();
    else this.#socket.unref();
  }

  /**
   * Runs one statement.
   *
   * @throws DatabaseError; `db_timeout` when the client's deadline passes, `TransactionOutcomeUnknown` for COMMIT.
   */
  query<R extends object = Row>(
    text: string | Statement,
    values?: readonly unknown[],
    options: StatementOptions = {},
  ): Promise<QueryResult<R>> {
    const { signal, commit = false, timeoutMs = this.#defaultTimeoutMs } = options;
    return new Promise((resolve, reject) => {
      const blocked = this.#lost === undefined ? this.#taint : "the connection was lost";
      if (blocked !== undefined || this.#ending) return reject(givenUp(blocked));
      if (signal?.aborted) return reject(aborted(signal.reason));
      const start = this.#clock.monotonic();
      let settled = false;
      const settle = (outcome: QueryOutcome): boolean => {
        if (settled) return false;
        settled = true;
        this.#running--;
        this.#pending.delete(lose);
        this.#clock.clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#events.measured?.(this.#clock.monotonic() - start, outcome);
        return true;
      };
      const fail = (error: DatabaseError) => {
        if (settle(error.code)) reject(error);
      };
      const lose = (error: unknown) =>
        fail(commit ? new TransactionOutcomeUnknown(error) : toDatabaseError(error));
      const giveUp = (error: DatabaseError, why: string) => {
        fail(commit ? new TransactionOutcomeUnknown(error) : error);
        this.taint(why);
        void this.#abandon(!commit);
      };
      const abort = () => giveUp(aborted(signal?.reason), "a statement was aborted");
      const timer =
        timeoutMs > 0
          ? this.#clock.setTimeout(
              () => giveUp(deadlinePassed("statement", timeoutMs), deadlineTaint),
              timeoutMs,
            )
          : undefined;
      signal?.addEventListener("abort", abort, { once: true });
      this.#running++;
      this.#pending.add(lose);
      this.#status = undefined;
      this.#syncWaitCancelled = false;

      this.#client.query(
        (typeof text === "string" ? { text, values } : text) as QueryConfig,
        (error: Error | null, result: DriverResult) => {
          if (settled) return;
          if (error) {
            const wrapped = toDatabaseError(error, { duringCommit: commit });
            const failure =
              wrapped.class === "unknown_outcome" && commit ? new TransactionOutcomeUnknown(error) : wrapped;
            if (classifyDbError(error).connectionLost) this.#onLost(error);
            // The server reports the error before it is ready again; only then its transaction status is known.
            this.#whenReady().then(() => fail(failure));
          } else if (commit && this.#syncWaitCancelled) {
            this.taint("waiting for the standby was cancelled");
            fail(new TransactionOutcomeUnknown(undefined, { reason: "not confirmed by the standby" }));
          } else if (settle("ok")) {
            resolve(result as unknown as QueryResult<R>);
          }
        },
      );
    });
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
    if (this.#ending) return;
    this.#ending = true;
    this.#client.end().catch(() => {});
    const timer = this.#clock.setTimeout(() => this.#socket.destroy(), lastWordsMs);
    this.closed.then(() => this.#clock.clearTimeout(timer));
  }

  /** Closes the socket at once; statements under way fail. Idempotent. */
  destroy(): void {
    this.#ending = true;
    this.#socket.destroy();
    this.#failPending(new Error("Connection terminated"));
  }

  /** Cancels what is running and closes the socket; not to be called while COMMIT is on its way. */
  abandon(): void {
    if (this.#running === 0) {
      this.destroy();
      return;
    }
    this.taint("it was given up");
    void this.#abandon(true);
    this.#failPending(new Error("Connection terminated"));
  }

  async #abandon(cancel: boolean): Promise<void> {
    this.#ending = true;
    const { processID, secretKey } = this.#internals;
    if (cancel && processID !== null && secretKey !== null) {
      const target = { ...this.#address, processId: processID, secretKey };
      await sendCancelRequest(target, this.#options.ssl, lastWordsMs);
    }
    this.destroy();
  }

  get #internals(): ClientInternals {
    return this.#client as unknown as ClientInternals;
  }

  #whenReady(): Promise<void> {
    if (this.#status !== undefined || this.#lost !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.setTimeout(() => {
        this.taint("the server did not become ready after an error");
        resolve();
      }, lastWordsMs);
      this.#ready.push(() => {
        this.#clock.clearTimeout(timer);
        resolve();
      });
    });
  }

  #onLost(error: unknown): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    for (const resolve of this.#ready.splice(0)) resolve();
    const expected = this.#ending;
    this.#socket.destroy();
    this.#failPending(error);
    if (!expected) this.#events.lost(this, error);
  }

  #failPending(error: unknown): void {
    for (const lose of [...this.#pending]) lose(error);
  }
}
