import type { Clock } from "./clock.ts";
import type { DrainReport } from "./drainer.ts";
import type { Lease } from "./lease.ts";
import type { SessionPoolObserver } from "./observer.ts";
import type { KeyLimits } from "./pool-options.ts";
import type { SessionPoolStats } from "./pool-stats.ts";
import type { SessionFactory } from "./session-factory.ts";
import type { SessionKey } from "./session-key.ts";
import type { UsageDelta, UsageRecord } from "./usage-record.ts";

/** What a pool is given besides its options. */
export interface SessionPoolDeps<S, C = unknown> {
  readonly factory: SessionFactory<S, C>;
  /**
   * Limits that differ per server or key; asked when a key is first seen, for a drain and by `refreshLimits`. Wrong ones fail
   * the first and the last; a drain happens all the same, and those in force stay.
   */
  readonly limitsOf?: (key: SessionKey) => KeyLimits | undefined;
  readonly clock?: Clock;
  /** Uniform in [0, 1); default `Math.random`. */
  readonly random?: () => number;
  readonly observer?: SessionPoolObserver;
}

/** How to wait for a lease. */
export interface AcquireOptions<C = unknown> {
  /** Ends the wait; a connect that was begun goes on for others. */
  readonly signal?: AbortSignal;
  /** Epoch milliseconds after which waiting is pointless; the pool's `acquireTimeoutMs` still holds. NaN is refused. */
  readonly deadline?: number;
  /** `probe` for health checks, discovery and validation: never counted as use. Default `call`. */
  readonly purpose?: "call" | "probe";
  /** Handed to `connect` if this caller makes the pool open a session. */
  readonly context?: C;
}

/** Options of {@link SessionPool.run}. */
export interface RunOptions<C = unknown> extends AcquireOptions<C> {
  /** Whether the call may be executed twice (read-only, idempotent). Default false. */
  readonly repeatable?: boolean;
}

/** Which sessions to drain. */
export type DrainTarget = SessionKey | { readonly serverId: string };

/** A pool of sessions, by key. */
export interface SessionPool<S, C = unknown> {
  /**
   * Leases a session. Rejects with `acquire_timeout`, `pool_capacity`, `upstream_unreachable`, `pool_closed`,
   * `validation_failed` ({@link SessionPoolError}) or the abort reason of `signal`.
   */
  acquire(key: SessionKey, options?: AcquireOptions<C>): Promise<Lease<S>>;
  /** A lease if one can be had without waiting, probing or connecting; else `undefined`. */
  tryAcquire(key: SessionKey, options?: Pick<AcquireOptions<C>, "purpose">): Lease<S> | undefined;
  /** Whether {@link SessionPool.tryAcquire} would give a lease now. Takes nothing and uses nothing up. */
  hasRoom(key: SessionKey): boolean;
  /** Acquires, calls, releases with the right verdict, and heals a lost session once. */
  run<T>(
    key: SessionKey,
    call: (session: S, attempt: number) => Promise<T>,
    options?: RunOptions<C>,
  ): Promise<T>;
  /** Opens the first session of a key ahead of its first call. Failures are seen by the observer only. */
  warm(key: SessionKey, context?: C): void;
  /**
   * Retires all sessions of a key or server: no new leases at once, closed when idle, at the deadline in any case. Rejects with
   * `validation_failed` for a `deadlineMs` that is no number, as do `endDownstream` and `close`, and does nothing then.
   */
  drain(target: DrainTarget, options?: { readonly deadlineMs?: number }): Promise<DrainReport>;
  /**
   * Asks `limitsOf` anew for every key of a server. Ends nothing: what is above a lowered limit goes as it is given back
   * or falls idle.
   */
  refreshLimits(serverId: string): void;
  /**
   * Says that a server was reached in some other way, by a health check for example: if its breaker is open, the next
   * caller may try to connect at once. It is told in vain after a try that failed, until a connect has worked again.
   */
  serverReached(serverId: string): void;
  /**
   * Ends every upstream session of a downstream session, at once unless `deadlineMs` says otherwise; who waits for
   * one is refused with `not_found`. `downstream` is the key's field of that name. With `handOver` the sessions are
   * closed as `handed_over`: another replica owns them now.
   */
  endDownstream(
    downstream: string,
    options?: { readonly deadlineMs?: number; readonly handOver?: boolean },
  ): Promise<DrainReport>;
  /** Keeps a downstream session alive that lives without leases (an open stream, calls to other servers). */
  touchDownstream(downstream: string): void;
  /** Frozen records per server. */
  usage(): readonly UsageRecord[];
  /** Subscribes to uses as they end; returns how to unsubscribe. */
  onUse(listener: (delta: UsageDelta) => void): () => void;
  stats(): SessionPoolStats;
  /**
   * Refuses new callers, waits for leases until the deadline, closes everything in parallel. Idempotent. With
   * `handOver` sessions of downstream sessions are closed as `handed_over`, so that another replica can resume them.
   */
  close(options?: { readonly deadlineMs?: number; readonly handOver?: boolean }): Promise<DrainReport>;
  [Symbol.asyncDispose](): Promise<void>;
}
