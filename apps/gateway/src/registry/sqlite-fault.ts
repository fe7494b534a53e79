import { GatewayError } from "../errors.ts";

/** Primary result codes of SQLite (`errcode`, its low byte) that pass by themselves. */
const busy = new Set([5, 6]);
/** Those that say that the file cannot be used: full, damaged, unreadable, not there. */
const unusable = new Set([7, 8, 10, 11, 13, 14, 23, 26]);
const constraint = 19;

/** What a failure of SQLite means for callers, by its `errcode`; anything else stays what it is. */
export function describeSqliteFault(error: unknown): unknown {
  const { errcode, message } = (error ?? {}) as { readonly errcode?: unknown; readonly message?: string };
  if (typeof errcode !== "number") return error;
  const code = errcode & 0xff;
  if (busy.has(code)) {
    return new GatewayError("db_timeout", "The database did not answer in time: others are writing.", {
      cause: error,
      retryAfterMs: 1_000,
    });
  }
  if (unusable.has(code)) {
    return new GatewayError("db_unavailable", "The database file cannot be used.", {
      cause: error,
      retryAfterMs: 1_000,
    });
  }
  if (code === constraint) {
    const columns = message?.split(": ")[1];
    return new GatewayError("conflict", "The database already holds something that excludes this change.", {
      cause: error,
      ...(columns === undefined ? {} : { details: { constraint: columns } }),
    });
  }
  return error;
}
