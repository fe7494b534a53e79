import { DatabaseError } from "@gatewright/db-resilience";
import { GatewayError } from "../errors.ts";

/** SQLSTATEs of what a migration has not made yet: a table, a column. */
const missing: ReadonlySet<string | undefined> = new Set(["42P01", "42703"]);

/** What a failure of the database means while its tables are being made; else as {@link describeDatabaseFault}. */
export function describeFaultWhileMigrating(error: unknown): unknown {
  if (!DatabaseError.is(error) || !missing.has(error.sqlState)) return describeDatabaseFault(error);
  return new GatewayError("db_unavailable", "The database is unavailable: its tables are being made.", {
    cause: error,
    retryAfterMs: 1_000,
    details: { reason: "migrating" },
  });
}

type Facts = ConstructorParameters<typeof GatewayError>[2];

/**
 * What a failure of the database means for callers: the same codes, a text that names the database and nothing of where
 * it is or who logs in to it. Errors of others stay what they are.
 */
export function describeDatabaseFault(error: unknown): unknown {
  if (!DatabaseError.is(error)) return error;
  const { code, message, retryable, retryAfterMs, httpStatus, details } = error;
  const facts: Facts = {
    cause: error,
    retryable,
    ...(Object.keys(details).length === 0 ? {} : { details }),
    ...(retryable ? { retryAfterMs: Math.max(1_000, retryAfterMs ?? 0) } : {}),
  };
  switch (code) {
    case "conflict":
    case "validation_failed":
      return new GatewayError(code, message, facts);
    case "db_unavailable":
    case "db_timeout":
    case "db_fenced":
    case "pool_exhausted":
    case "tx_conflict":
      return new GatewayError(code, message, { ...facts, retryAfterMs: facts.retryAfterMs ?? 1_000 });
    case "outcome_unknown":
      return new GatewayError(code, message, { ...facts, httpStatus, retryAfterMs: 1_000 });
    case "db_aborted":
      // Only the deadline of the whole request aborts: each part of it was in time, and all together were not.
      return new GatewayError("db_timeout", "The database did not answer in time.", {
        cause: error,
        retryAfterMs: 1_000,
      });
    case "db_closed":
      return new GatewayError(
        "db_unavailable",
        "The database is not used any more: the gateway is stopping.",
        {
          cause: error,
          retryAfterMs: 1_000,
        },
      );
    case "db_query_invalid":
    case "db_options_invalid":
      return error;
  }
}
