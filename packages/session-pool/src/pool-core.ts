import { BlockedKeys } from "./blocked-keys.ts";
import type { Bucket } from "./bucket.ts";
import type { Entry } from "./entry.ts";
import type { SessionPoolError } from "./errors.ts";
import { Evictor } from "./evictor.ts";
import { Grower } from "./grower.ts";
import { Lease, type LeaseOwner, type ReleaseVerdict } from "./lease.ts";
import { newEntry } from "./new-entry.ts";
import type { PoolState } from "./pool-state.ts";
import { ReleaseJudge } from "./release-judge.ts";
import type { Scope } from "./scope.ts";
import type { FaultKind } from "./session-factory.ts";
import { Validator } from "./validator.ts";
import type { Waiter } from "./waiter.ts";
import { WaitingRoom } from "./waiting-room.ts";

/** Tells the listeners of a pool about each counted use. */
export type UseListener = (serverId: string, heldMs: number, failed: boolean) => void;

/**
 * Hands sessions to callers. Invariant: a key with an available session has no waiters, so that whoever finds one
 * may take it without asking who came first.
 */
export class PoolCore<S, C> implements LeaseOwner<Entry<S, C>> {
  readonly state: PoolState<S, C>;
  readonly evictor: Evictor<S, C>;
  readonly #grower: Grower<S, C>;
  readonly #validator: Validator<S, C>;
  readonly #judge: ReleaseJudge<S, C>;
  readonly #blocked: BlockedKeys<S, C>;
  readonly room: WaitingRoom<S, C>;
  onUse: UseListener | undefined = undefined;

  constructor(state: PoolState<S, C>) {
    this.state = state;
    this.evictor = new Evictor(state, () => this.#blocked.serve());
    this.#blocked = new BlockedKeys(state, this.evictor, {
      grow: (bucket) => this.#grow(bucket),
      pump: (bucket) => this.pump(bucket),
    });
    this.#judge = new ReleaseJudge(state, this.evictor);
    this.#grower = new Grower(state, this.evictor, {
      adopt: (bucket, session, opened) => this.#adopt(bucket, session, opened),
      connectFailed: (bucket, error) => this.#connectFailed(bucket, error),
      connectCancelled: (bucket) => {
        this.pump(bucket);
        state.dropIfEmpty(bucket);
      },
    });
    this.#validator = new Validator(state);
    this.room = new WaitingRoom(state);
  }

  /** A lease at once, or nothing when that would take waiting, probing or connecting. */
  take(bucket: Bucket<S, C>, probe: boolean): Lease<S> | undefined {
    if (bucket.available.length === 0) return undefined;
    const nowMs = this.state.clock.now();
    const entry = this.ready(bucket, nowMs);
    return entry && this.#lend(entry, nowMs, probe);
  }

  /** The session that would be lent at once, or nothing when that would take waiting, probing or connecting. */
  ready({ available }: Bucket<S, C>, nowMs: number): Entry<S, C> | undefined {
    const entry = available[available.length - 1];
    if (entry === undefined) return undefined;
    const stale = nowMs >= entry.freshUntilMs && (entry.inFlight === 0 || nowMs >= entry.expiresAtMs);
    return stale ? undefined : entry;
  }

  /** A lease as soon as one can be had. */
  wait(
    bucket: Bucket<S, C>,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    context: C | undefined,
    probe: boolean,
  ): Promise<Lease<S>> {
    const lease = this.room.enter(bucket, timeoutMs, signal, context, probe);
    // Full and busy, or behind others of its key that wait for room or for a connect: nothing that `pump` could do.
    const mayGrow = bucket.wants && !this.state.blocked.has(bucket);
    if (mayGrow || bucket.available.length > 0) this.pump(bucket);
    return lease;
  }

  release(entry: Entry<S, C>, startedMs: number, probe: boolean, verdict: ReleaseVerdict): void {
    const { state } = this;
    const { bucket } = entry;
    const nowMs = state.clock.now();
    if (probe) entry.probesInFlight--;
    else {
      const failed = verdict !== "ok" && verdict !== "cancelled";
      bucket.server.used(nowMs, nowMs - startedMs, failed);
      if (this.onUse !== undefined) this.onUse(bucket.key.serverId, nowMs - startedMs, failed);
    }
    if (verdict === "ok" || verdict === "application_error") {
      entry.timeouts = 0;
      bucket.server.breaker.proved();
    } else this.#judge.judge(entry, verdict);
    if (entry.state === "live" && (entry.usesLeft <= 0 || nowMs >= entry.expiresAtMs)) {
      this.evictor.retire(entry, entry.usesLeft <= 0 ? (bucket.key.oneShot ? "one_shot" : "uses") : "age");
    }
    const wasFull = entry.inFlight === bucket.maxConcurrency;
    entry.inFlight--;
    if (entry.state !== "live") {
      if (entry.inFlight === 0) void this.evictor.finish(entry);
      if (bucket.waiters.size > 0) this.pump(bucket);
      return;
    }
    if (!probe) entry.lastUsedMs = nowMs;
    this.#refreshDue(entry, nowMs);
    if (state.blocked.size === 0 || bucket.stateful) {
      const waiter = bucket.waiters.head;
      // After its limit was lowered a session may have more leases than it should.
      if (waiter !== undefined && entry.inFlight < bucket.maxConcurrency) {
        this.#handOver(waiter, entry, nowMs);
        return;
      }
    }
    if (wasFull) bucket.available.push(entry);
    if (entry.inFlight === 0 && !bucket.stateful) state.idle.add(entry);
    if (state.blocked.size > 0) this.#blocked.share(entry, nowMs);
  }

  classify(error: unknown): FaultKind {
    return this.state.classify(error).kind;
  }

  /** Serves the waiters of keys as far as their sessions go, then opens the sessions that are still missing. */
  pump(...buckets: Bucket<S, C>[]): void {
    const { state } = this;
    for (const bucket of buckets) {
      this.#handOut(bucket);
      state.blocked.place(bucket);
    }
    this.#blocked.serve();
  }

  /** Hands the available sessions of a key to its waiters. */
  #handOut(bucket: Bucket<S, C>): void {
    const { state } = this;
    const nowMs = state.clock.now();
    while (bucket.waiters.head !== undefined) {
      const entry = bucket.available[bucket.available.length - 1];
      if (entry === undefined) break;
      if (nowMs >= entry.expiresAtMs) this.evictor.retire(entry, "age");
      else if (nowMs >= entry.freshUntilMs && entry.inFlight === 0) this.#validate(entry);
      else {
        bucket.available.pop();
        state.idle.remove(entry);
        this.#handOver(bucket.waiters.head, entry, nowMs);
        if (entry.inFlight < bucket.maxConcurrency && entry.usesLeft > 0) bucket.available.push(entry);
      }
    }
  }

  /** Begins one session for a key that wants one; the hard cap that it waits for if there is no room. */
  #grow(bucket: Bucket<S, C>): Scope | undefined {
    const { blocked } = this.state;
    const growth = this.#grower.grow(bucket, bucket.waiters.head?.context);
    if (growth.kind === "started") blocked.place(bucket);
    if (growth.kind === "breaker_open" || growth.kind === "key_full") {
      blocked.delete(bucket);
      if (!bucket.hasHope) this.room.refuseFor(bucket, growth);
    }
    if (growth.kind !== "capacity") return undefined;
    if (growth.hopeless) {
      for (const waiting of blocked.under(growth.scope)) {
        if (!waiting.hasHope) this.room.refuseFor(waiting, growth);
      }
    }
    return growth.scope;
  }

  /** Asks for the limits of keys anew, and serves those who wait within them. Ends nothing. */
  relimit(buckets: readonly Bucket<S, C>[]): void {
    this.state.applyLimits(buckets);
    for (const bucket of buckets) {
      bucket.available.length = 0;
      for (const entry of bucket.entries) {
        const lendable = entry.state === "live" && !entry.validating && entry.usesLeft > 0;
        if (lendable && entry.inFlight < bucket.maxConcurrency) bucket.available.push(entry);
      }
    }
    this.pump(...buckets);
  }

  /** Begins one session for a key that has none, without anybody waiting for it. */
  warm(bucket: Bucket<S, C>, context: C | undefined): void {
    if (!bucket.hasHope) this.#grower.grow(bucket, context);
    this.state.dropIfEmpty(bucket);
  }

  #lend(entry: Entry<S, C>, nowMs: number, probe: boolean): Lease<S> {
    const { bucket } = entry;
    if (entry.inFlight === 0) this.state.idle.remove(entry);
    this.#take(entry, probe);
    if (entry.inFlight === bucket.maxConcurrency || entry.usesLeft <= 0) bucket.available.pop();
    return new Lease(this, entry, nowMs, probe);
  }

  #take(entry: Entry<S, C>, probe: boolean): void {
    if (probe) entry.probesInFlight++;
    else if (entry.uses === 0) this.state.misses++;
    else this.state.hits++;
    entry.inFlight++;
    entry.uses++;
    entry.usesLeft--;
  }

  #handOver(waiter: Waiter<S, C>, entry: Entry<S, C>, nowMs: number): void {
    this.room.callUp(waiter, nowMs);
    this.#take(entry, waiter.probe);
    waiter.resolve(new Lease(this, entry, nowMs, waiter.probe));
  }

  #refreshDue(entry: Entry<S, C>, nowMs: number): void {
    const { factory, options } = this.state;
    entry.freshUntilMs =
      factory.probes === undefined
        ? entry.expiresAtMs
        : Math.min(nowMs + options.idleCheckMs, entry.expiresAtMs);
  }

  #adopt(bucket: Bucket<S, C>, session: S, opened: () => void): boolean {
    const { state } = this;
    const nowMs = state.clock.now();
    const entry = newEntry(bucket, session, state, nowMs);
    this.#refreshDue(entry, nowMs);
    if (!this.#watch(entry)) return false;
    opened();
    entry.round = bucket.server.breaker.round;
    bucket.entries.add(entry);
    bucket.live++;
    bucket.available.push(entry);
    if (!bucket.stateful) state.idle.add(entry);
    this.pump(bucket);
    if (bucket.key.oneShot && entry.inFlight === 0) this.evictor.retire(entry, "one_shot");
    return true;
  }

  /** Listens for the end of a session that is about to be taken in; false when it has come already. */
  #watch(entry: Entry<S, C>): boolean {
    const { bucket, session } = entry;
    let lost = false;
    try {
      entry.unsubscribe = this.state.factory.onLost?.(session, () => {
        if (bucket.entries.has(entry)) this.#lost(entry);
        else lost = true;
      });
      if (lost) entry.unsubscribe?.();
    } catch {
      // Without a subscription the session's end is seen by the next call on it.
    }
    return !lost;
  }

  #lost(entry: Entry<S, C>): void {
    const { clock, options } = this.state;
    const { bucket } = entry;
    const { breaker } = bucket.server;
    const nowMs = clock.now();
    // Those that one event ends are one failed connect: the first of them ends the round.
    const unproved = entry.state === "live" && entry.uses === 0 && entry.round === breaker.round;
    if (unproved && nowMs - entry.lastUsedMs <= options.connectTimeoutMs) {
      breaker.undone(nowMs, new Error("a session was lost before its first use"));
    }
    this.evictor.retire(entry, "lost");
    this.pump(bucket);
  }

  #connectFailed(bucket: Bucket<S, C>, error: SessionPoolError): void {
    if (!bucket.hasHope) {
      this.room.refuse(bucket, error, bucket.maxConcurrency);
      this.pump(bucket);
    } else {
      // It waits for its own sessions, but if it waits for room then for one caller more.
      if (this.state.blocked.has(bucket)) this.state.blocked.place(bucket);
      this.#blocked.serve();
    }
    this.state.dropIfEmpty(bucket);
  }

  #validate(entry: Entry<S, C>): void {
    const { state } = this;
    const { bucket } = entry;
    this.#validator.validate(entry, (healthy) => {
      if (healthy) {
        this.#refreshDue(entry, state.clock.now());
        bucket.available.push(entry);
        if (!bucket.stateful) state.idle.add(entry);
      } else this.evictor.retire(entry, "unhealthy");
      this.pump(bucket);
    });
  }
}
