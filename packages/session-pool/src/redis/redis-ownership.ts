import { randomUUID } from "node:crypto";
import { type Clock, systemClock } from "../clock.ts";
import { isSessionPoolError, SessionPoolError } from "../errors.ts";
import { EnvelopeCodec, type EnvelopeRequest, type OpenedEnvelope } from "./envelope.ts";
import { type Notice, NoticeBus } from "./notice-bus.ts";
import { OwnedSessions } from "./owned-sessions.ts";
import { OwnerRecords, principalHash, sessionHash } from "./owner-records.ts";
import type {
  ClaimOptions,
  ForwardTarget,
  OwnershipStats,
  RedisOwnership,
  RedisOwnershipDeps,
} from "./ownership.ts";
import {
  type RedisOwnershipOptions,
  type ResolvedOwnershipOptions,
  resolveOwnershipOptions,
} from "./ownership-options.ts";
import { RedisClock } from "./redis-clock.ts";
import { SealedKeep } from "./sealed-keep.ts";
import { SessionFinder } from "./session-finder.ts";
import type {
  OwnershipHold,
  ReclaimResult,
  SessionLocation,
  SessionState,
  UpstreamSessionId,
} from "./session-location.ts";

/** Creates the ownership of this replica. Call `start` before use. Throws `validation_failed` for wrong options. */
export function createRedisOwnership(
  options: RedisOwnershipOptions,
  deps: RedisOwnershipDeps,
): RedisOwnership {
  return new Ownership(resolveOwnershipOptions(options), deps);
}

class Ownership implements RedisOwnership {
  readonly instanceId: string;
  readonly #options: ResolvedOwnershipOptions;
  readonly #deps: RedisOwnershipDeps;
  readonly #clock: Clock;
  readonly #codec: EnvelopeCodec;
  readonly #bus: NoticeBus;
  readonly #records: OwnerRecords;
  readonly #keep: SealedKeep;
  readonly #owned: OwnedSessions;
  readonly #finder: SessionFinder;
  readonly #counts = { pollFailures: 0, noticesRefused: 0, noticesReceived: 0 };
  #closing: Promise<void> | undefined = undefined;

  constructor(options: ResolvedOwnershipOptions, deps: RedisOwnershipDeps) {
    const { signKeys: keys, envelopeMaxAgeMs: maxAgeMs, maxNonces, prefix, pollMs, maxNotices } = options;
    const { onEvict, onOwnershipLost: onLost, redis, subscriber } = deps;
    const { heartbeatMs, deadAfterMs } = options;
    const clock = deps.clock ?? systemClock;
    const instanceId = deps.instanceId ?? randomUUID();
    // Stamps are compared by replicas whose own walls may differ.
    const shared = new RedisClock(clock);
    const records = new OwnerRecords(redis, options, instanceId);
    const keep = new SealedKeep(options.sealKeys);
    const onEnded = (sessionId: string) => onEvict({ kind: "session", sessionId });
    const owned = new OwnedSessions({ records, clock, heartbeatMs, deadAfterMs, onEnded, onLost });
    this.instanceId = instanceId;
    this.#options = options;
    this.#deps = deps;
    this.#clock = clock;
    this.#records = records;
    this.#keep = keep;
    this.#owned = owned;
    this.#finder = new SessionFinder({ instanceId, options, clock, records, owned, keep });
    this.#codec = new EnvelopeCodec({ keys, instanceId, maxAgeMs, maxNonces }, shared);
    this.#bus = new NoticeBus({
      redis,
      subscriber,
      clock: shared,
      prefix,
      keys,
      pollMs,
      maxNotices,
      maxAgeMs,
      maxNonces,
      received: (notice) => this.#received(notice),
      missed: () => onEvict({ kind: "resync" }),
      refused: () => this.#counts.noticesRefused++,
      failed: () => this.#counts.pollFailures++,
    });
  }

  async start(): Promise<void> {
    this.#owned.start(() => this.#records.announce());
    await this.#bus.start();
    await this.#records.announce();
  }

  async claim(
    sessionId: string,
    principal: string,
    options: ClaimOptions = {},
  ): Promise<{ readonly epoch: number }> {
    if (this.#owned.size >= this.#options.maxOwned) {
      throw new SessionPoolError("pool_capacity", "this replica owns as many sessions as it may");
    }
    const sentMs = this.#clock.now();
    const who = principalHash(sessionId, principal);
    const session = sessionHash(sessionId);
    const { state = {} } = options;
    const sealed = this.#keep.seal(session, { state, upstream: [] });
    let epoch = 1;
    let saved = true;
    try {
      epoch = await this.#records.claim(session, who, sealed);
    } catch (error) {
      if (options.ownWhenAway !== true || !isSessionPoolError(error)) throw error;
      saved = false;
    }
    if (epoch === 0) throw new SessionPoolError("validation_failed", "the session has an owner already");
    this.#finder.forget(session);
    this.#owned.add({ sessionId, epoch, principal: who, sealed, rev: 0, saved, state }, sentMs);
    return { epoch };
  }

  hold(sessionId: string): OwnershipHold | undefined {
    return this.#owned.hold(sessionHash(sessionId));
  }

  async save(sessionId: string, upstream: readonly UpstreamSessionId[], state?: SessionState): Promise<void> {
    const session = sessionHash(sessionId);
    const owned = this.#owned.get(session);
    if (owned === undefined) return;
    if (state !== undefined) owned.state = state;
    owned.sealed = this.#keep.seal(session, { state: owned.state, upstream });
    owned.rev++;
    owned.saved = false;
    await this.#owned.beat(session, owned);
  }

  locate(
    sessionId: string,
    principal: string,
    options: { readonly fresh?: boolean } = {},
  ): Promise<SessionLocation> {
    return this.#finder.locate(sessionId, principal, options.fresh === true);
  }

  reclaim(sessionId: string, principal: string): Promise<ReclaimResult> {
    return this.#finder.reclaim(sessionId, principal);
  }

  release(sessionId: string): Promise<void> {
    return this.#owned.release(sessionHash(sessionId));
  }

  async end(sessionId: string, principal: string): Promise<"ended" | "foreign" | "unknown"> {
    const session = sessionHash(sessionId);
    const who = principalHash(sessionId, principal);
    const result = await this.#records.end(session, who).catch((error) => {
      if (this.#owned.get(session)?.principal === who) this.#owned.endLater(session);
      throw error;
    });
    if (result === "ended") {
      this.#ended(session);
      await this.#bus.publish({ kind: "session", session, from: this.instanceId });
    }
    return result;
  }

  async serverChanged(serverId: string): Promise<void> {
    this.#deps.onEvict({ kind: "server", serverId });
    await this.#bus.publish({ kind: "server", serverId, from: this.instanceId });
  }

  whereIs(instanceId: string): Promise<string | undefined> {
    return this.#records.where(instanceId);
  }

  sign(
    to: ForwardTarget,
    sessionId: string | undefined,
    request: EnvelopeRequest & { readonly payload: string; readonly remainingMs?: number },
  ): string {
    const { payload, remainingMs } = request;
    const session = sessionId === undefined ? "" : sessionHash(sessionId);
    return this.#codec.sign({ to: to.owner, session, epoch: to.epoch ?? 0, payload, remainingMs }, request);
  }

  judge(envelope: string | undefined): "unsigned" | "tampered" | undefined {
    return this.#codec.judge(envelope);
  }

  open(
    envelope: string | undefined,
    sessionId: string | undefined,
    request: EnvelopeRequest,
  ): OpenedEnvelope | { readonly kind: "misdirected" } {
    const opened = this.#codec.open(envelope, request);
    if (opened.kind === "refused") return opened;
    const { claims } = opened;
    const session = sessionId === undefined ? "" : sessionHash(sessionId);
    const here = session === "" || this.#owned.get(session)?.epoch === claims.epoch;
    return here && claims.session === session ? opened : { kind: "misdirected" };
  }

  stats(): OwnershipStats {
    return Object.freeze({
      owned: this.#owned.size,
      ...this.#owned.counts,
      ...this.#counts,
      reclaims: Object.freeze({ ...this.#finder.reclaims }),
      envelopesRefused: Object.freeze({ ...this.#codec.refused }),
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    await this.#owned.close();
    await this.#records.leave().catch(() => {});
    await this.#bus.close();
  }

  #received(notice: Notice): void {
    if (notice.from === this.instanceId) return;
    this.#counts.noticesReceived++;
    if (notice.kind === "server") this.#deps.onEvict({ kind: "server", serverId: notice.serverId });
    else this.#ended(notice.session);
  }

  #ended(session: string): void {
    this.#finder.forget(session);
    this.#owned.ended(session);
  }
}
