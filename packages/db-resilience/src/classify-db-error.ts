import { DatabaseError } from "./errors.ts";
import {
  conflictRow,
  type ErrorRow,
  invalidQuery,
  networkRows,
  sqlStateRows,
  textRows,
  tlsRows,
  unknownOutcomeRow,
} from "./sqlstate-table.ts";

/** What the error table says of a failure. */
export interface DbErrorClassification extends ErrorRow {
  /** SQLSTATE, if the server gave one. */
  readonly sqlState?: string;
}

/** How to read a failure. */
export interface ClassifyOptions {
  /** The failure came while COMMIT was on its way: a lost connection then means an unknown outcome. */
  readonly duringCommit?: boolean;
  /** Treat 55P03 (lock not available) as a conflict that a new attempt of the transaction may solve. */
  readonly retryLockTimeout?: boolean;
  /** The transaction was begun as read-only: 25006 is a fault of the caller then, and says nothing of the server. */
  readonly readOnlyByChoice?: boolean;
}

interface DriverError {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly errors?: unknown;
  readonly severity?: unknown;
  readonly routine?: unknown;
  readonly where?: unknown;
}

/**
 * Says what a failure of `pg`, of a socket or of this package means. Anything unknown is permanent (500).
 *
 * @example
 * classifyDbError({ code: "40P01" }).class; // "tx_retry"
 */
export function classifyDbError(error: unknown, options: ClassifyOptions = {}): DbErrorClassification {
  const found = DatabaseError.is(error) ? ownRow(error) : (rowOf(error) ?? invalidQuery);
  const sqlState = sqlStateOf(error);
  const refused = found.class === "capacity" || found.misconfigured === true;
  // What a pooler refuses for want of a connection or a login has not reached the server, though it ends the session.
  const lost = found.connectionLost === true || (endsSession(error) && !refused);
  const row = adjust(found, lost, sqlState, options);
  return sqlState === undefined ? row : { ...row, sqlState };
}

/**
 * Wraps a failure in a {@link DatabaseError} (errors of this package stay as they are). Constraint, table and
 * column names go into `details`; the server's text, which may show values, only into `cause`.
 */
export function toDatabaseError(error: unknown, options: ClassifyOptions = {}): DatabaseError {
  if (DatabaseError.is(error)) return error;
  const row = classifyDbError(error, options);
  const details: Record<string, unknown> = {};
  for (const key of ["constraint", "table", "column", "schema"] as const) {
    const value = (error as Record<string, unknown> | null)?.[key];
    if (typeof value === "string") details[key] = value;
  }
  return new DatabaseError({ ...row, details, cause: error });
}

function adjust(
  row: ErrorRow,
  lost: boolean,
  sqlState: string | undefined,
  options: ClassifyOptions,
): ErrorRow {
  // A server that panics because the log's disk is full may have written the commit all the same.
  if (options.duringCommit && lost) return unknownOutcomeRow;
  if (options.readOnlyByChoice && sqlState === "25006") return invalidQuery;
  if (options.retryLockTimeout && sqlState === "55P03") return conflictRow;
  return row;
}

function rowOf(error: unknown): ErrorRow | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { code, message, errors, severity } = error as DriverError;
  // A wrong number of parameters is 08P01 too; only a fatal one has ended the session.
  if (code === "08P01" && severity === "ERROR") return invalidQuery;
  if (typeof message === "string") {
    const byText = textRows.find(({ pattern }) => pattern.test(message));
    // A code says more than a text, except where several failures share one.
    if (byText && (typeof code !== "string" || code === "08P01")) return byText.row;
  }
  if (typeof code === "string") {
    const byCode =
      networkRows[code] ??
      sqlStateRows[code] ??
      (isSqlState(code) ? sqlStateRows[code.slice(0, 2)] : undefined) ??
      tlsRows.find(({ pattern }) => pattern.test(code))?.row;
    if (byCode) return byCode;
  }
  // Connecting to a name with several addresses fails with an AggregateError.
  return Array.isArray(errors) ? rowOf(errors[0]) : undefined;
}

/** After such an error the server ends the session, whatever it was about. */
export function endsSession(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  const { severity } = error as DriverError;
  return severity === "FATAL" || severity === "PANIC";
}

/**
 * Whether the server has a prepared statement no more, or would answer otherwise than it has announced ("cached plan
 * must not change result type"; the same pgJDBC looks for): this one, or one that it has come upon while it was
 * carried out.
 */
export function isStaleStatement(error: unknown): boolean {
  const { code, routine } = error as DriverError;
  return code === "26000" || (code === "0A000" && routine === "RevalidateCachedQuery");
}

/** Whether {@link isStaleStatement} is about the statement of this name itself, of which nothing was carried out then. */
export function wasNotCarriedOut(error: unknown, name: string): boolean {
  const { code, message, where } = error as DriverError;
  // What a function or a block comes upon has a context, the innermost first. The server may add the values of the
  // statement as one; in another language it could be anything, so that it does not count.
  const own = code === "0A000" && String(where).startsWith("unnamed portal with parameters: ");
  const inside = typeof where === "string" && !own;
  return !inside && (code !== "26000" || String(message).includes(name));
}

function sqlStateOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  if (DatabaseError.is(error)) return error.sqlState;
  const { code } = error as DriverError;
  return typeof code === "string" && isSqlState(code) ? code : undefined;
}

/** Five characters, digits and capitals, and not one of Node's codes such as EPIPE. */
function isSqlState(code: string): boolean {
  return /^[0-9A-Z]{5}$/.test(code) && !(code in networkRows);
}

function ownRow(error: DatabaseError): ErrorRow {
  const { class: kind, code, message, retryable, httpStatus, retryAfterMs } = error;
  const away = kind === "connection" || kind === "server_going";
  // What the driver said tells more than our own words about it.
  const cause = DatabaseError.is(error.cause) ? ownRow(error.cause) : rowOf(error.cause);
  return {
    ...(cause?.misconfigured ? { misconfigured: true } : {}),
    ...(away || cause?.serverAway ? { serverAway: true } : {}),
    ...(away || kind === "unknown_outcome" || cause?.connectionLost ? { connectionLost: true } : {}),
    class: kind,
    code,
    message,
    retryable,
    httpStatus,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}
