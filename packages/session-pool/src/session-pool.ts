import type { Bucket } from "./bucket.ts";
import { type Clock, systemClock } from "./clock.ts";
import { Drainer, type DrainReport } from "./drainer.ts";
import { SessionPoolError } from "./errors.ts";
import type { Lease } from "./lease.ts";
import type { SessionPoolObserver } from "./observer.ts";
import { PoolCore } from "./pool-core.ts";
import { type KeyLimits, resolvePoolOptions, type SessionPoolOptions } from "./pool-options.ts";
import { PoolState } from "./pool-state.ts";
import { poolStats, type SessionPoolStats } from "./pool-stats.ts";
import { Reaper } from "./reaper.ts";
import { runCall } from "./run-call.ts";
import type { SessionFactory } from "./session-factory.ts";
import type { SessionKey } from "./session-key.ts";
import { type UsageDelta, type UsageRecord, usageRecords } from "./usage-record.ts";

/** What a pool is given besides its options. */
export interface SessionPoolDeps<S, C = unknown> {
  readonly factory: SessionFactory<S, C>;
  /** Limits that differ per server or key; asked when a key is first seen and again after a drain. */
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
  /** Epoch milliseconds after which waiting is pointless; the pool's `acquireTimeoutMs` still holds. */
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
   * Leases a session. Rejects with `acquire_timeout`, `pool_capacity`, `upstream_unreachable`, `pool_closed`
   * ({@link SessionPoolError}) or the abort reason of `signal`.
   */
  acquire(key: SessionKey, options?: AcquireOptions<C>): Promise<Lease<S>>;
  /** A lease if one can be had without waiting, probing or connecting; else `undefined`. */
  tryAcquire(key: SessionKey, options?: Pick<AcquireOptions<C>, "purpose">): Lease<S> | undefined;
  /** Acquires, calls, releases with the right verdict, and heals a lost session once. */
  run<T>(
    key: SessionKey,
    call: (session: S, attempt: number) => Promise<T>,
    options?: RunOptions<C>,
  ): Promise<T>;
  /** Opens the first session of a key ahead of its first call. Failures are seen by the observer only. */
  warm(key: SessionKey, context?: C): void;
  /** Retires all sessions of a key or server: no new leases at once, closed when idle, at the deadline in any case. */
  drain(target: DrainTarget, options?: { readonly deadlineMs?: number }): Promise<DrainReport>;
  /** Ends every upstream session of a downstream session. `downstream` is the key's field of that name. */
  endDownstream(downstream: string, options?: { readonly deadlineMs?: number }): Promise<DrainReport>;
  /** Keeps a downstream session alive that lives without leases (an open stream, calls to other servers). */
  touchDownstream(downstream: string): void;
  /** Frozen records per server. */
  usage(): readonly UsageRecord[];
  /** Subscribes to uses as they end; returns how to unsubscribe. */
  onUse(listener: (delta: UsageDelta) => void): () => void;
  stats(): SessionPoolStats;
  /** Refuses new callers, waits for leases until the deadline, closes everything in parallel. Idempotent. */
  close(options?: { readonly deadlineMs?: number }): Promise<DrainReport>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Creates a pool. Throws `validation_failed` for wrong options. */
export function createSessionPool<S, C = unknown>(
  options: SessionPoolOptions,
  deps: SessionPoolDeps<S, C>,
): SessionPool<S, C> {
  return new KeyedSessionPool(options, deps);
}

class KeyedSessionPool<S, C> implements SessionPool<S, C> {
  readonly #state: PoolState<S, C>;
  readonly #core: PoolCore<S, C>;
  readonly #reaper: Reaper<S, C>;
  readonly #drainer: Drainer<S, C>;
  readonly #buckets: Map<string, Bucket<S, C>>;
  readonly #listeners = new Set<(delta: UsageDelta) => void>();
  #closing: Promise<DrainReport> | undefined = undefined;

  constructor(options: SessionPoolOptions, deps: SessionPoolDeps<S, C>) {
    this.#state = new PoolState({
      factory: deps.factory,
      options: resolvePoolOptions(options),
      clock: deps.clock ?? systemClock,
      random: deps.random ?? Math.random,
      observer: deps.observer ?? {},
      limitsOf: deps.limitsOf ?? (() => undefined),
    });
    this.#buckets = this.#state.buckets;
    this.#core = new PoolCore(this.#state);
    this.#drainer = new Drainer(this.#core);
    this.#reaper = new Reaper(this.#state, this.#core.evictor);
    this.#reaper.start();
  }

  acquire(key: SessionKey, options?: AcquireOptions<C>): Promise<Lease<S>> {
    const bucket = this.#buckets.get(key.id);
    if (bucket !== undefined && options?.signal?.aborted !== true) {
      const lease = this.#core.take(bucket, options?.purpose === "probe");
      if (lease !== undefined) return Promise.resolve(lease);
    }
    return this.#acquireSlowly(key, options ?? {});
  }

  tryAcquire(key: SessionKey, options?: Pick<AcquireOptions<C>, "purpose">): Lease<S> | undefined {
    const bucket = this.#buckets.get(key.id);
    return bucket === undefined ? undefined : this.#core.take(bucket, options?.purpose === "probe");
  }

  run<T>(
    key: SessionKey,
    call: (session: S, attempt: number) => Promise<T>,
    options: RunOptions<C> = {},
  ): Promise<T> {
    const pool = {
      acquire: () => this.acquire(key, options),
      classify: (error: unknown) => this.#state.classify(error),
    };
    return runCall(pool, call, options.repeatable ?? false);
  }

  warm(key: SessionKey, context?: C): void {
    if (!this.#state.closed) this.#core.warm(this.#state.bucketFor(key), context);
  }

  drain(target: DrainTarget, options: { readonly deadlineMs?: number } = {}): Promise<DrainReport> {
    const buckets = [...this.#buckets.values()].filter(({ key }) =>
      "id" in target ? key.id === target.id : key.serverId === target.serverId,
    );
    for (const bucket of buckets) this.#state.applyLimits(bucket);
    return this.#drainer.drain(buckets, "drained", options.deadlineMs ?? this.#state.options.drainTimeoutMs);
  }

  endDownstream(downstream: string, options: { readonly deadlineMs?: number } = {}): Promise<DrainReport> {
    this.#state.touched.delete(downstream);
    const buckets = [...this.#buckets.values()].filter(({ key }) => key.downstream === downstream);
    return this.#drainer.drain(buckets, "downstream_ended", options.deadlineMs ?? 0);
  }

  touchDownstream(downstream: string): void {
    const { clock, options, touched } = this.#state;
    touched.delete(downstream);
    if (touched.size >= options.maxTotal * 10) {
      for (const oldest of touched.keys()) {
        touched.delete(oldest);
        break;
      }
    }
    touched.set(downstream, clock.now());
  }

  usage(): readonly UsageRecord[] {
    return usageRecords(this.#state);
  }

  onUse(listener: (delta: UsageDelta) => void): () => void {
    this.#listeners.add(listener);
    this.#core.onUse = (serverId, latencyMs, failed) => this.#announce(serverId, latencyMs, failed);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#core.onUse = undefined;
    };
  }

  stats(): SessionPoolStats {
    return poolStats(this.#state);
  }

  close(options: { readonly deadlineMs?: number } = {}): Promise<DrainReport> {
    if (this.#closing === undefined) {
      this.#state.closed = true;
      this.#reaper.stop();
      this.#closing = this.#drainer.close(options.deadlineMs ?? this.#state.options.drainTimeoutMs);
    }
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #acquireSlowly(key: SessionKey, options: AcquireOptions<C>): Promise<Lease<S>> {
    const state = this.#state;
    const { signal, deadline, context } = options;
    if (signal?.aborted === true) throw signal.reason;
    if (state.closed) throw new SessionPoolError("pool_closed", "the pool is closed");
    const leftMs = deadline === undefined ? Number.POSITIVE_INFINITY : deadline - state.clock.wallNow();
    const timeoutMs = Math.max(0, Math.min(state.options.acquireTimeoutMs, leftMs));
    const bucket = state.bucketFor(key);
    return this.#core.wait(bucket, { signal, timeoutMs, context, probe: options.purpose === "probe" });
  }

  #announce(serverId: string, latencyMs: number, failed: boolean): void {
    const at = this.#state.clock.wallNow();
    const delta: UsageDelta = Object.freeze({ serverId, at, uses: 1, errors: failed ? 1 : 0, latencyMs });
    for (const listener of this.#listeners) {
      try {
        listener(delta);
      } catch {
        // A listener must not be able to break the release of a session.
      }
    }
  }
}
