import type { Bucket } from "./bucket.ts";
import { systemClock } from "./clock.ts";
import { Drainer, type DrainReport } from "./drainer.ts";
import { SessionPoolError } from "./errors.ts";
import type { Lease } from "./lease.ts";
import { PoolCore } from "./pool-core.ts";
import { checkTime, isTime, notATime, resolvePoolOptions, type SessionPoolOptions } from "./pool-options.ts";
import { PoolState } from "./pool-state.ts";
import { poolStats, type SessionPoolStats } from "./pool-stats.ts";
import { Reaper } from "./reaper.ts";
import { runCall } from "./run-call.ts";
import type { SessionKey } from "./session-key.ts";
import type {
  AcquireOptions,
  DrainTarget,
  RunOptions,
  SessionPool,
  SessionPoolDeps,
} from "./session-pool.ts";
import { type UsageDelta, type UsageRecord, usageRecords } from "./usage-record.ts";

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
    if (bucket !== undefined && (options === undefined || mayTake(options))) {
      const lease = this.#core.take(bucket, options?.purpose === "probe");
      if (lease !== undefined) return Promise.resolve(lease);
    }
    return this.#acquireSlowly(key, bucket, options);
  }

  tryAcquire(key: SessionKey, options?: Pick<AcquireOptions<C>, "purpose">): Lease<S> | undefined {
    const bucket = this.#buckets.get(key.id);
    return bucket === undefined ? undefined : this.#core.take(bucket, options?.purpose === "probe");
  }

  hasRoom(key: SessionKey): boolean {
    const bucket = this.#buckets.get(key.id);
    return bucket !== undefined && this.#core.ready(bucket, this.#state.clock.now()) !== undefined;
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

  async drain(target: DrainTarget, options: { readonly deadlineMs?: number } = {}): Promise<DrainReport> {
    const deadlineMs = checkTime("deadlineMs", options.deadlineMs ?? this.#state.options.drainTimeoutMs);
    const buckets = [...this.#buckets.values()].filter(({ key }) =>
      "id" in target ? key.id === target.id : key.serverId === target.serverId,
    );
    for (const bucket of buckets) this.#applyLimitsIfRight(bucket);
    return this.#drainer.drain(buckets, () => "drained", deadlineMs);
  }

  serverReached(serverId: string): void {
    const { servers, clock } = this.#state;
    servers.get(serverId)?.breaker.reached(clock.now());
  }

  refreshLimits(serverId: string): void {
    this.#core.relimit([...this.#buckets.values()].filter(({ key }) => key.serverId === serverId));
  }

  async endDownstream(
    downstream: string,
    options: { readonly deadlineMs?: number; readonly handOver?: boolean } = {},
  ): Promise<DrainReport> {
    const deadlineMs = checkTime("deadlineMs", options.deadlineMs ?? 0);
    this.#state.touched.delete(downstream);
    const buckets = [...this.#buckets.values()].filter(({ key }) => key.downstream === downstream);
    const reason = options.handOver === true ? "handed_over" : "downstream_ended";
    const ended = new SessionPoolError("not_found", "the downstream session has ended");
    for (const bucket of buckets) this.#core.room.refuse(bucket, ended);
    return this.#drainer.drain(buckets, () => reason, deadlineMs);
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

  async close(
    options: { readonly deadlineMs?: number; readonly handOver?: boolean } = {},
  ): Promise<DrainReport> {
    const deadlineMs = checkTime("deadlineMs", options.deadlineMs ?? this.#state.options.drainTimeoutMs);
    if (this.#closing === undefined) {
      this.#state.closed = true;
      this.#reaper.stop();
      this.#closing = this.#drainer.close(deadlineMs, options.handOver === true);
    }
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Wrong limits must not keep sessions of old credentials open: those in force stay. */
  #applyLimitsIfRight(bucket: Bucket<S, C>): void {
    try {
      this.#state.applyLimits([bucket]);
    } catch {
      // Told to whoever asks for them to be set, or for a session of a new key.
    }
  }

  // Not async: a promise around the promise would cost every waiter three turns of the microtask queue.
  #acquireSlowly(
    key: SessionKey,
    known: Bucket<S, C> | undefined,
    options: AcquireOptions<C> | undefined,
  ): Promise<Lease<S>> {
    const state = this.#state;
    const signal = options?.signal;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    if (state.closed) return Promise.reject(new SessionPoolError("pool_closed", "the pool is closed"));
    let timeoutMs = state.options.acquireTimeoutMs;
    if (options?.deadline !== undefined) {
      if (!isTime(options.deadline)) return Promise.reject(notATime("deadline", options.deadline));
      timeoutMs = Math.min(timeoutMs, options.deadline - state.clock.wallNow());
      if (timeoutMs <= 0) {
        const { serverId } = key;
        const details = { serverId, waitedMs: 0 };
        return Promise.reject(new SessionPoolError("acquire_timeout", "the deadline is over", { details }));
      }
    }
    let bucket = known;
    try {
      bucket ??= state.bucketFor(key);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#core.wait(bucket, timeoutMs, signal, options?.context, options?.purpose === "probe");
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

/** Whether a caller may have what is there, whatever else is to be said to it. */
function mayTake({ deadline, signal }: AcquireOptions): boolean {
  return signal?.aborted !== true && (deadline === undefined || isTime(deadline));
}
