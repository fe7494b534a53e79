import { DatabaseError } from "./errors.ts";

const retryable = { retryable: true, httpStatus: 503 } as const;

/** The caller's signal was aborted; `cause` is its reason. */
export function aborted(reason: unknown): DatabaseError {
  return new DatabaseError({
    code: "db_aborted",
    class: "client",
    message: "The call to the database was aborted by its caller.",
    retryable: false,
    httpStatus: 499,
    cause: reason,
  });
}

/** The statement cannot be sent as it is; nothing was. */
export function invalidStatement(
  message: string,
  details?: Record<string, unknown>,
  cause?: unknown,
): DatabaseError {
  return new DatabaseError({
    code: "db_query_invalid",
    class: "permanent",
    message,
    retryable: false,
    httpStatus: 500,
    details,
    cause,
  });
}

/** A prepared statement is out of date or gone (after ALTER TABLE, DEALLOCATE); the next use of its name prepares it anew. */
export function staleStatement(cause: unknown): DatabaseError {
  return new DatabaseError({
    ...retryable,
    code: "tx_conflict",
    class: "tx_retry",
    message: "A prepared statement was out of date at the database; what it belongs to can be repeated.",
    retryAfterMs: 1_000,
    sqlState: (cause as { code?: string }).code,
    cause,
  });
}

/** What was given as an option cannot be meant. */
export function wrongOptions(message: string): DatabaseError {
  return new DatabaseError({
    code: "db_options_invalid",
    class: "client",
    message: `Wrong options: ${message}`,
    retryable: false,
    httpStatus: 500,
  });
}

/** A deadline of the client has passed. */
export function deadlinePassed(
  what: "statement" | "transaction" | "validation",
  afterMs: number,
): DatabaseError {
  return new DatabaseError({
    ...retryable,
    code: "db_timeout",
    class: "timeout",
    message: "The database did not answer in time.",
    retryAfterMs: 1_000,
    details: { deadline: what, afterMs: Math.round(afterMs) },
  });
}

/** No connection came free in time, or too many callers wait already. */
export function poolExhausted(reason: "timeout" | "queue_full", waiting: number): DatabaseError {
  return new DatabaseError({
    ...retryable,
    code: "pool_exhausted",
    class: "capacity",
    message: "All connections to the database are in use.",
    retryAfterMs: 1_000,
    details: { reason, waiting },
  });
}

/** Nobody to talk to. */
export function unavailable(reason: string, retryAfterMs = 1_000, cause?: unknown): DatabaseError {
  return new DatabaseError({
    ...retryable,
    code: "db_unavailable",
    class: "connection",
    message: "The database is unavailable.",
    retryAfterMs: Math.max(1_000, retryAfterMs),
    details: { reason },
    cause,
  });
}

/** The advisory lock is not held any more, while what it was for goes on. */
export function lockLost(cause: unknown): DatabaseError {
  return new DatabaseError({
    ...retryable,
    retryable: false,
    code: "db_unavailable",
    class: "connection",
    message:
      "The lock in the database was lost before the work under it had ended; another may have begun the same.",
    details: { reason: "lock" },
    cause,
  });
}

/** The server refuses the login, has no such database or is not trusted: coming back changes nothing until somebody has seen to it. */
export function misconfigured(cause: unknown): DatabaseError {
  return new DatabaseError({
    ...retryable,
    retryable: false,
    code: "db_unavailable",
    class: "permanent",
    message: DatabaseError.is(cause)
      ? cause.message
      : "The database refuses the configured login or does not exist.",
    retryAfterMs: 1_000,
    details: { reason: "config" },
    cause,
  });
}

/** Why a server of an older history is refused. */
export const replaced = "it has been replaced";

/** The reachable server may have been replaced by another. */
export function fenced(reason: string): DatabaseError {
  return new DatabaseError({
    ...retryable,
    code: "db_fenced",
    class: "read_only",
    message: "The database that can be reached may have been replaced; writes to it are refused.",
    retryAfterMs: 1_000,
    details: { reason },
  });
}

/** It is not known whether the reachable server is the right one: nothing was seen yet that says so. */
export function fenceUnknown(reason: string): DatabaseError {
  return new DatabaseError({
    ...retryable,
    code: "db_fenced",
    class: "read_only",
    message:
      "It is not known whether the database that can be reached is the right one; writes to it are refused.",
    retryAfterMs: 1_000,
    details: { reason, unknown: true },
  });
}

/** Whether a failure is {@link fenceUnknown}: nothing says that the server was replaced, so that reading it does no harm. */
export function isFenceUnknown(error: unknown): error is DatabaseError {
  return DatabaseError.is(error) && error.code === "db_fenced" && error.details["unknown"] === true;
}

/** `close()` was called. */
export function closedError(): DatabaseError {
  return new DatabaseError({
    code: "db_closed",
    class: "client",
    message: "The database access has been closed.",
    retryable: false,
    httpStatus: 503,
  });
}

/** The connection was not open in time. */
export function connectTimedOut(): DatabaseError {
  return new DatabaseError({
    code: "db_unavailable",
    class: "connection",
    message: "The database did not accept a connection in time.",
    retryable: true,
    httpStatus: 503,
    retryAfterMs: 1_000,
  });
}

/** The connection may not be used any more. */
export function givenUp(why: string | undefined): DatabaseError {
  return new DatabaseError({
    code: "db_unavailable",
    class: "connection",
    message: "The connection to the database was given up.",
    retryable: true,
    httpStatus: 503,
    retryAfterMs: 1_000,
    details: { reason: why ?? "it was closed" },
  });
}
