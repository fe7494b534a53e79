import { checkedMs } from "./duration.ts";
import { DatabaseError } from "./errors.ts";
import type { PooledConnection } from "./pooled-connection.ts";
import type { QueryResult, Row, Statement } from "./query-result.ts";
import type { StatementGuard } from "./statement-run.ts";

/** A connection in the hands of a caller. */
export interface DatabaseSession {
  /** Runs one statement; `$1`, `$2` … stand for the values. */
  query<R extends object = Row>(
    text: string | Statement,
    values?: readonly unknown[],
    options?: SessionStatementOptions,
  ): Promise<QueryResult<R>>;
  /** "host:port" of the server. */
  readonly host: string;
  /** Process id of the backend. */
  readonly backendPid: number;
}

/** How to run one statement of a session. */
export interface SessionStatementOptions {
  /** Aborting cancels the statement and gives the connection up. */
  readonly signal?: AbortSignal;
  /** How long the client waits; default statementMs + statementGraceMs. 0 is for ever. */
  readonly timeoutMs?: number;
}

/** A session that can be taken back: afterwards its holder gets errors instead of somebody else's connection. */
export class LeasedSession implements DatabaseSession {
  readonly host: string;
  readonly connection: PooledConnection;
  readonly #signal: AbortSignal | undefined;
  readonly #namedStatements: boolean;
  readonly #guard: StatementGuard | undefined;
  #answered = 0;
  #released = false;

  constructor(
    connection: PooledConnection,
    host: string,
    options: {
      readonly signal?: AbortSignal | undefined;
      readonly namedStatements: boolean;
      readonly guard?: StatementGuard | undefined;
    },
  ) {
    this.connection = connection;
    this.host = host;
    this.#signal = options.signal;
    this.#namedStatements = options.namedStatements;
    this.#guard = options.guard;
  }

  get backendPid(): number {
    return this.connection.backendPid;
  }

  /** Statements that have succeeded: with none, the whole may be tried on another server. */
  get answered(): number {
    return this.#answered;
  }

  async query<R extends object = Row>(
    text: string | Statement,
    values?: readonly unknown[],
    options: SessionStatementOptions = {},
  ): Promise<QueryResult<R>> {
    if (this.#released) throw releasedError();
    const asking = this.#guard?.(typeof text === "string" ? text : text.text);
    if (asking !== undefined) {
      await asking;
      // Meanwhile the connection may have become somebody else's.
      if (this.#released) throw releasedError();
    }
    const { signal = this.#signal } = options;
    const timeoutMs = options.timeoutMs === undefined ? undefined : checkedMs("timeoutMs", options.timeoutMs);
    const statement =
      typeof text === "string" || this.#namedStatements
        ? text
        : { text: text.text, ...(text.values ? { values: text.values } : {}) };
    const result = await this.connection.query<R>(statement, values, {
      signal,
      timeoutMs,
      guard: this.#guard,
    });
    this.#answered++;
    return result;
  }

  /** Whether the server may still be used, without sending anything to it; nothing to wait for where it may. */
  checkAdmission(): Promise<void> | undefined {
    return this.#guard?.("select 1");
  }

  /** Ends the session's use of the connection; the pool takes it back separately. */
  revoke(): void {
    this.#released = true;
  }
}

function releasedError(): DatabaseError {
  return new DatabaseError({
    code: "db_query_invalid",
    class: "client",
    message: "The connection was used after it had been given back.",
    retryable: false,
    httpStatus: 500,
  });
}
