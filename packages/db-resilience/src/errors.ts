/** Stable codes of {@link DatabaseError}; the gateway's REST and JSON-RPC errors carry the same. */
export type DatabaseErrorCode =
  | "db_unavailable"
  | "db_timeout"
  | "pool_exhausted"
  | "db_fenced"
  | "tx_conflict"
  | "outcome_unknown"
  | "conflict"
  | "validation_failed"
  | "db_query_invalid"
  | "db_aborted"
  | "db_closed"
  | "db_options_invalid";

/** What kind of trouble an error is; one row of the classification table. */
export type DatabaseErrorClass =
  | "connection"
  | "server_going"
  | "server_fault"
  | "capacity"
  | "tx_retry"
  | "read_only"
  | "timeout"
  | "unknown_outcome"
  | "permanent"
  | "client";

/** What {@link DatabaseError} is made of. */
export interface DatabaseErrorInit {
  readonly code: DatabaseErrorCode;
  readonly class: DatabaseErrorClass;
  /** Sentence for people: names the database, never a host, a user or a password. */
  readonly message: string;
  readonly retryable: boolean;
  readonly httpStatus: number;
  readonly retryAfterMs?: number | undefined;
  readonly sqlState?: string | undefined;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
  readonly cause?: unknown;
}

const brand = Symbol.for("gatewright.db-resilience.DatabaseError");

/**
 * Every failure of this package. `cause` is the driver's error and may name hosts and users: log it with care
 * and never send it to a client; `toJSON` leaves it out.
 */
export class DatabaseError extends Error {
  override readonly name: string = "DatabaseError";
  readonly code: DatabaseErrorCode;
  readonly class: DatabaseErrorClass;
  /** Whether the same call may succeed later and may be repeated without doing anything twice (a SELECT is taken to do nothing). */
  readonly retryable: boolean;
  /** Suggested HTTP status. */
  readonly httpStatus: number;
  /** When a repetition makes sense, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  readonly sqlState: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(init: DatabaseErrorInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.code = init.code;
    this.class = init.class;
    this.retryable = init.retryable;
    this.httpStatus = init.httpStatus;
    this.retryAfterMs = init.retryAfterMs;
    this.sqlState = init.sqlState;
    this.details = init.details ?? {};
    Object.defineProperty(this, brand, { value: true });
  }

  /** What may be shown to a client. */
  toJSON(): { code: DatabaseErrorCode; message: string; retryable: boolean; retryAfterMs?: number } {
    return {
      code: this.code,
      message: this.message,
      retryable: this.retryable,
      ...(this.retryAfterMs === undefined ? {} : { retryAfterMs: this.retryAfterMs }),
    };
  }

  /** True for errors of this class from any copy of this package. */
  static is(error: unknown): error is DatabaseError {
    return typeof error === "object" && error !== null && brand in error;
  }
}

/**
 * The connection was lost, or the deadline passed, while COMMIT was on its way, or a statement outside a transaction
 * that changes something; or a standby that should have confirmed it did not. It may have taken effect or not. Never
 * retried by this package unless the outcome was settled, or an idempotency key or `idempotent` allows it.
 */
export class TransactionOutcomeUnknown extends DatabaseError {
  override readonly name = "TransactionOutcomeUnknown";

  constructor(cause?: unknown, details?: Readonly<Record<string, unknown>>) {
    super({
      code: "outcome_unknown",
      class: "unknown_outcome",
      message: "The database did not confirm that a change was committed; it may have taken effect or not.",
      retryable: false,
      httpStatus: 503,
      cause,
      details,
    });
  }
}
