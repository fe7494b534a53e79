import { BlockedSet } from "./blocked-set.ts";
import { Breaker } from "./breaker.ts";
import { Bucket } from "./bucket.ts";
import type { Clock } from "./clock.ts";
import { SessionPoolError } from "./errors.ts";
import { Histogram } from "./histogram.ts";
import { IdleList } from "./idle-list.ts";
import type { SessionEvent, SessionPoolObserver } from "./observer.ts";
import { checkKeyLimits, type KeyLimits, type ResolvedPoolOptions } from "./pool-options.ts";
import { Scope } from "./scope.ts";
import { ServerState } from "./server-state.ts";
import {
  type CloseReason,
  classifyByDefault,
  type SessionFactory,
  type SessionFault,
} from "./session-factory.ts";
import { isSessionKey, type SessionKey } from "./session-key.ts";

/** What a pool is made of; {@link PoolState} keeps it together. */
export interface PoolParts<S, C> {
  readonly factory: SessionFactory<S, C>;
  readonly options: ResolvedPoolOptions;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observer: SessionPoolObserver;
  readonly limitsOf: (key: SessionKey) => KeyLimits | undefined;
}

/** The shared data of a pool's parts: who waits, what is open, what was counted. */
export class PoolState<S, C> {
  readonly factory: SessionFactory<S, C>;
  readonly options: ResolvedPoolOptions;
  readonly clock: Clock;
  readonly random: () => number;
  readonly limitsOf: (key: SessionKey) => KeyLimits | undefined;
  readonly buckets = new Map<string, Bucket<S, C>>();
  readonly idle = new IdleList<S, C>();
  /** Keys whose waiters could not get a session because a hard cap was reached. */
  readonly blocked = new BlockedSet<S, C>();
  readonly servers = new Map<string, ServerState>();
  readonly tenants = new Map<string, Scope>();
  readonly total: Scope;
  readonly waits = new Histogram();
  readonly evictions = new Map<CloseReason, number>();
  /** Keys whose credentials were refused and not refreshed since. */
  readonly staleCredentials = new Set<string>();
  /** When downstream sessions were last touched from outside. */
  readonly touched = new Map<string, number>();
  readonly #observer: SessionPoolObserver;
  hits = 0;
  misses = 0;
  probeFailures = 0;
  breakerTrips = 0;
  waiting = 0;
  closed = false;

  constructor(parts: PoolParts<S, C>) {
    this.factory = parts.factory;
    this.options = parts.options;
    this.clock = parts.clock;
    this.random = parts.random;
    this.limitsOf = parts.limitsOf;
    this.#observer = parts.observer;
    this.total = new Scope("total", parts.options.maxTotal);
  }

  /** The bucket of a key, made on first sight. */
  bucketFor(key: SessionKey): Bucket<S, C> {
    const known = this.buckets.get(key.id);
    if (known !== undefined) return known;
    if (!isSessionKey(key)) {
      throw new SessionPoolError("validation_failed", "session keys are made by createSessionKeys only");
    }
    // Asked first: limits that are refused leave nothing behind.
    const limits = this.#limitsFor(key);
    const server = this.serverFor(key.serverId);
    const scopes = [server.scope, this.total];
    if (key.tenant !== undefined) scopes.splice(1, 0, this.#tenantFor(key.tenant));
    const bucket = new Bucket<S, C>(key, server, scopes);
    this.#setLimits(bucket, limits);
    this.buckets.set(key.id, bucket);
    for (const scope of scopes) scope.keys++;
    return bucket;
  }

  /** Asks for the limits of keys and sets them. Throws what `limitsOf` throws, or `validation_failed`, and sets none. */
  applyLimits(buckets: readonly Bucket<S, C>[]): void {
    const limits = buckets.map(({ key }) => this.#limitsFor(key));
    for (const [at, bucket] of buckets.entries()) this.#setLimits(bucket, limits[at] ?? {});
  }

  #limitsFor(key: SessionKey): KeyLimits {
    return checkKeyLimits(this.limitsOf(key) ?? {});
  }

  #setLimits(bucket: Bucket<S, C>, limits: KeyLimits): void {
    const { key } = bucket;
    const { options } = this;
    const exclusive = key.strategy === "exclusive" || key.oneShot;
    bucket.maxConcurrency = exclusive
      ? 1
      : (limits.maxConcurrencyPerSession ?? options.maxConcurrencyPerSession);
    bucket.maxSessions =
      limits.maxPerKey ?? (key.strategy === "downstream" ? options.maxPerDownstreamKey : options.maxPerKey);
    bucket.server.scope.limit = limits.maxPerServer ?? options.maxPerServer;
  }

  /** Forgets a bucket that holds nothing any more. */
  dropIfEmpty(bucket: Bucket<S, C>): void {
    if (bucket.waiters.size === 0) this.blocked.delete(bucket);
    if (!bucket.isEmpty || this.buckets.get(bucket.key.id) !== bucket) return;
    this.buckets.delete(bucket.key.id);
    for (const scope of bucket.scopes) scope.keys--;
    const { tenant } = bucket.key;
    // As long as a key refers to it, a second one for the same tenant would be a second cap.
    if (tenant !== undefined && this.tenants.get(tenant)?.keys === 0) this.tenants.delete(tenant);
  }

  serverFor(id: string): ServerState {
    const known = this.servers.get(id);
    if (known !== undefined) return known;
    if (this.servers.size >= this.options.maxTrackedServers) this.#forgetOneServer();
    const { breakerFailures, breakerResetMs, connectTimeoutMs } = this.options;
    const breaker = new Breaker(breakerFailures, breakerResetMs, connectTimeoutMs, (state) => {
      if (state === "open") this.breakerTrips++;
      this.tell("breakerChanged", { serverId: id, state });
    });
    const server = new ServerState(id, new Scope("server", this.options.maxPerServer), breaker);
    this.servers.set(id, server);
    return server;
  }

  /** What a failure means; a classifier that throws counts as none. */
  classify(error: unknown): SessionFault {
    try {
      return this.factory.classify?.(error) ?? classifyByDefault(error);
    } catch {
      return classifyByDefault(error);
    }
  }

  /** Tells the observer; whatever it throws is its own affair. */
  tell<M extends keyof SessionPoolObserver>(
    method: M,
    event: Parameters<NonNullable<SessionPoolObserver[M]>>[0],
  ): void {
    try {
      (this.#observer[method] as ((e: typeof event) => void) | undefined)?.call(this.#observer, event);
    } catch {
      // An observer must not be able to break the pool.
    }
  }

  eventOf(bucket: Bucket<S, C>): SessionEvent {
    const { id, serverId, strategy } = bucket.key;
    return { keyId: id, serverId, strategy };
  }

  #tenantFor(tenant: string): Scope {
    let scope = this.tenants.get(tenant);
    if (scope === undefined) {
      scope = new Scope("tenant", this.options.maxPerTenant);
      this.tenants.set(tenant, scope);
    }
    return scope;
  }

  #forgetOneServer(): void {
    for (const server of this.servers.values()) {
      if (server.scope.keys > 0) continue;
      this.servers.delete(server.id);
      return;
    }
  }
}
