import type { Clock } from "./clock.ts";
import type { DatabaseError } from "./errors.ts";
import type { DatabaseEvent } from "./observer.ts";
import type { PooledConnection } from "./pooled-connection.ts";

/** What a pool needs from its host. */
export interface PoolContext {
  readonly clock: Clock;
  readonly random: () => number;
  open(lost: (connection: PooledConnection, error: unknown) => void): Promise<PooledConnection>;
  /** The error to fail with while the host counts as down, else undefined. */
  refusal(): DatabaseError | undefined;
  /** Something looks wrong: the host should be checked now. */
  suspect(error: unknown): void;
  /** A connection was opened: the host is there. */
  alive(): void;
  event(event: PoolEvent): void;
}

/** Events of a pool, still without the host's name. */
export type PoolEvent =
  | {
      readonly type: "db_pool_exhausted";
      readonly waiting: number;
      readonly reason: "timeout" | "queue_full";
    }
  | { readonly type: "db_generation"; readonly generation: number; readonly reason: string }
  | { readonly type: "db_connection_closed"; readonly reason: string }
  | Omit<Extract<DatabaseEvent, { type: "db_leak" }>, "host">;

/** A snapshot of a pool. */
export interface PoolStats {
  /** Connections handed out. */
  readonly checkedOut: number;
  readonly idle: number;
  /** Connections being opened. */
  readonly connecting: number;
  /** Connections being cancelled and closed; they still count towards the limit. */
  readonly closing: number;
  /** Callers waiting. */
  readonly waiting: number;
  /** Connections kept when idle. */
  readonly min: number;
  readonly size: number;
  /** size + overflow. */
  readonly max: number;
  readonly generation: number;
  /** Connections opened since the start. */
  readonly opened: number;
  /** Attempts to open one since the start. */
  readonly connectAttempts: number;
  /** Callers refused since the start because nothing came free. */
  readonly exhausted: number;
}

/** How to ask for a connection. */
export interface AcquireOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default acquireTimeoutMs. */
  readonly timeoutMs?: number | undefined;
}
