import type { DatabaseErrorClass, DatabaseErrorCode } from "./errors.ts";

/** Something an operator may want to know of; hosts are named, secrets never. */
export type DatabaseEvent =
  | {
      readonly type: "db_state";
      readonly host: string;
      readonly state: "up" | "down";
      readonly reason?: string;
    }
  | {
      readonly type: "db_pool_exhausted";
      readonly host: string;
      readonly waiting: number;
      readonly reason: "timeout" | "queue_full";
    }
  | {
      readonly type: "db_generation";
      readonly host: string;
      readonly generation: number;
      readonly reason: string;
    }
  | { readonly type: "db_connection_closed"; readonly host: string; readonly reason: string }
  | { readonly type: "db_leak"; readonly host: string; readonly heldMs: number; readonly stack: string }
  | { readonly type: "db_deadlock"; readonly sqlState: string; readonly attempt: number }
  | {
      readonly type: "db_transaction_retry";
      readonly reason: DatabaseErrorClass;
      readonly attempt: number;
      readonly delayMs: number;
    }
  | { readonly type: "db_outcome_unknown"; readonly settled: "committed" | "aborted" | "unknown" }
  | { readonly type: "db_failover"; readonly from?: string; readonly to: string; readonly timeline: number }
  | { readonly type: "db_fenced"; readonly host: string; readonly timeline: number; readonly reason: string }
  | { readonly type: "db_tail_may_be_lost"; readonly to: string; readonly timeline: number }
  /** Nothing is read from this standby, until it is known to follow the server for writes; told once. */
  | { readonly type: "db_standby_unproven"; readonly host: string; readonly reason: string };

/** How a statement ended. */
export type QueryOutcome = "ok" | DatabaseErrorCode;

/** Receives what the package measures; every method is optional, and what they throw is dropped. */
export interface DatabaseObserver {
  event?(event: DatabaseEvent): void;
  /** A statement has ended (`db_query_duration_seconds`). */
  query?(measured: {
    readonly host: string;
    readonly durationMs: number;
    readonly outcome: QueryOutcome;
  }): void;
  /** A connection was handed out (`db.client.connection.wait_time`). */
  acquired?(measured: { readonly host: string; readonly waitMs: number }): void;
  /** A connection came back (`db.client.connection.use_time`). */
  released?(measured: { readonly host: string; readonly useMs: number }): void;
  /** A connection was opened, or could not be (`db.client.connection.create_time`). */
  connected?(measured: { readonly host: string; readonly durationMs: number; readonly ok: boolean }): void;
}

/** Keeps an observer's own faults away from the database's work. */
export function guardObserver(observer: DatabaseObserver): DatabaseObserver {
  const guard = <T>(method: ((value: T) => void) | undefined) =>
    method &&
    ((value: T) => {
      try {
        method.call(observer, value);
      } catch {
        // There is nobody to tell: the observer is who would be told.
      }
    });
  const { event, query, acquired, released, connected } = observer;
  const guarded = {
    event: guard(event),
    query: guard(query),
    acquired: guard(acquired),
    released: guard(released),
    connected: guard(connected),
  };
  const given = Object.entries(guarded).filter(([, method]) => method !== undefined);
  return Object.fromEntries(given) as DatabaseObserver;
}
