import { randomUUID } from "node:crypto";
import { type Clock, type ClockTimer, systemClock } from "../clock.ts";
import { isSessionPoolError, SessionPoolError } from "../errors.ts";
import { EnvelopeCodec, type EnvelopeRequest, type OpenedEnvelope } from "./envelope.ts";
import { LocationCache } from "./location-cache.ts";
import { type Notice, NoticeBus } from "./notice-bus.ts";
import type { OwnedSession } from "./owned-session.ts";
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
import { seal, unseal } from "./seal.ts";
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

const BEATS_AT_ONCE = 200;

/** What a record keeps sealed. */
interface Kept {
  readonly state: SessionState;
  readonly upstream: readonly UpstreamSessionId[];
}

class Ownership implements RedisOwnership {
  readonly instanceId: string;
  readonly #options: ResolvedOwnershipOptions;
  readonly #deps: RedisOwnershipDeps;
  readonly #clock: Clock;
  readonly #codec: EnvelopeCodec;
  readonly #bus: NoticeBus;
  readonly #records: OwnerRecords;
  readonly #places: LocationCache;
  readonly #owned = new Map<string, OwnedSession>();
  readonly #reclaims = { won: 0, unresumable: 0, lost: 0, alive: 0, foreign: 0, unknown: 0 };
  readonly #counts = {
    beats: 0,
    beatFailures: 0,
    pollFailures: 0,
    ownershipsLost: 0,
    noticesRefused: 0,
    noticesReceived: 0,
  };
  #beatTimer: ClockTimer | undefined = undefined;
  #closing: Promise<void> | undefined = undefined;

  constructor(options: ResolvedOwnershipOptions, deps: RedisOwnershipDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#clock = deps.clock ?? systemClock;
    this.instanceId = deps.instanceId ?? randomUUID();
    this.#records = new OwnerRecords(deps.redis, options, this.instanceId);
    this.#places = new LocationCache(options.maxLocations);
    const { signKeys: keys, envelopeMaxAgeMs: maxAgeMs, maxNonces, prefix, pollMs, maxNotices } = options;
    this.#codec = new EnvelopeCodec({ keys, instanceId: this.instanceId, maxAgeMs, maxNonces }, this.#clock);
    this.#bus = new NoticeBus({
      redis: deps.redis,
      subscriber: deps.subscriber,
      clock: this.#clock,
      prefix,
      keys,
      pollMs,
      maxNotices,
      received: (notice) => this.#received(notice),
      missed: () => this.#deps.onEvict({ kind: "resync" }),
      refused: () => this.#counts.noticesRefused++,
      failed: () => this.#counts.pollFailures++,
    });
  }

  async start(): Promise<void> {
    this.#scheduleBeat();
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
    const sealed = Object.keys(state).length === 0 ? "" : this.#seal(session, { state, upstream: [] });
    let epoch = 1;
    let saved = true;
    try {
      epoch = await this.#records.claim(session, who, sealed);
    } catch (error) {
      if (options.ownWhenAway !== true || !isSessionPoolError(error)) throw error;
      saved = false;
    }
    if (epoch === 0) throw new SessionPoolError("validation_failed", "the session has an owner already");
    this.#own({ sessionId, epoch, principal: who, sealed, saved, state }, sentMs);
    return { epoch };
  }

  hold(sessionId: string): OwnershipHold | undefined {
    const session = sessionHash(sessionId);
    const owned = this.#owned.get(session);
    if (owned === undefined) return undefined;
    const certain = () => this.#owned.get(session) === owned && this.#clock.now() < owned.certainUntilMs;
    return {
      epoch: owned.epoch,
      get certain() {
        return certain();
      },
    };
  }

  async save(sessionId: string, upstream: readonly UpstreamSessionId[], state?: SessionState): Promise<void> {
    const session = sessionHash(sessionId);
    const owned = this.#owned.get(session);
    if (owned === undefined) return;
    if (state !== undefined) owned.state = state;
    owned.sealed = this.#seal(session, { state: owned.state, upstream });
    owned.saved = false;
    await this.#beat(session, owned);
  }

  async locate(
    sessionId: string,
    principal: string,
    options: { readonly fresh?: boolean } = {},
  ): Promise<SessionLocation> {
    const session = sessionHash(sessionId);
    const who = principalHash(sessionId, principal);
    const nowMs = this.#clock.now();
    const owned = this.#owned.get(session);
    if (owned !== undefined) {
      if (owned.principal !== who) return { kind: "foreign" };
      if (options.fresh === true) await this.#beat(session, owned);
      if (this.#owned.get(session) === owned) {
        return { kind: "mine", epoch: owned.epoch, certain: nowMs < owned.certainUntilMs };
      }
    }
    const place = options.fresh === true ? undefined : this.#places.get(session, nowMs);
    if (place !== undefined) return place.principal === who ? place.location : { kind: "foreign" };
    this.#places.forget(session);
    const record = await this.#records.read(session);
    // One of ours that we do not hold: its claim was answered too late, so that nobody was given its id.
    if (record === undefined || record.owner === this.instanceId) return { kind: "unknown" };
    if (record.principal !== who) return { kind: "foreign" };
    const { owner, url, epoch } = record;
    const deadInMs = this.#options.deadAfterMs - record.ageMs;
    if (deadInMs <= 0) return { kind: "ownerless", owner, epoch };
    const location = { kind: "remote", owner, url, epoch, deadInMs } as const;
    const untilMs = nowMs + Math.min(this.#options.locationCacheMs, deadInMs);
    this.#places.set(session, { location, principal: who, untilMs });
    return location;
  }

  async reclaim(sessionId: string, principal: string): Promise<ReclaimResult> {
    const result = await this.#reclaim(sessionId, principal);
    this.#reclaims[result.kind]++;
    return result;
  }

  async release(sessionId: string): Promise<void> {
    const session = sessionHash(sessionId);
    const owned = this.#owned.get(session);
    if (owned === undefined) return;
    // What could not be saved yet is saved now: nobody else will.
    if (!owned.saved) await this.#beat(session, owned);
    this.#owned.delete(session);
    await this.#records.release(session, owned.epoch);
  }

  async end(sessionId: string, principal: string): Promise<"ended" | "foreign" | "unknown"> {
    const session = sessionHash(sessionId);
    const result = await this.#records.end(session, principalHash(sessionId, principal));
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
      ...this.#counts,
      reclaims: Object.freeze({ ...this.#reclaims }),
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
    this.#beatTimer?.cancel();
    const owned = [...this.#owned];
    this.#owned.clear();
    await inBatches(owned, ([session, { epoch }]) =>
      // With Redis out of reach the record speaks for itself once its last beat is old enough.
      this.#records.release(session, epoch).catch(() => {}),
    );
    await this.#records.leave().catch(() => {});
    await this.#bus.close();
  }

  async #reclaim(sessionId: string, principal: string): Promise<ReclaimResult> {
    const seen = await this.locate(sessionId, principal, { fresh: true });
    if (seen.kind === "mine") return { kind: "lost" };
    if (seen.kind === "remote") return { kind: "alive", deadInMs: seen.deadInMs };
    if (seen.kind !== "ownerless") return seen;
    const session = sessionHash(sessionId);
    const who = principalHash(sessionId, principal);
    const sentMs = this.#clock.now();
    const reply = await this.#records.reclaim(session, who, seen);
    if (reply[0] === "alive") return { kind: "alive", deadInMs: reply[1] };
    if (reply[0] !== "won") return { kind: reply[0] };
    const [, epoch, sealed] = reply;
    const kept = this.#unseal(session, sealed);
    if (kept?.upstream.every(({ resumable }) => resumable)) {
      const { state, upstream } = kept;
      this.#own({ sessionId, epoch, principal: who, sealed, saved: true, state }, sentMs);
      return { kind: "won", epoch, upstream, state };
    }
    await this.#records.end(session, who);
    return { kind: "unresumable" };
  }

  #seal(session: string, kept: Kept): string {
    const [sealKey = new Uint8Array()] = this.#options.sealKeys;
    return seal(JSON.stringify(kept), sealKey, session);
  }

  /** `undefined` when what is sealed cannot be opened: as lost as a session that cannot be resumed. */
  #unseal(session: string, sealed: string): Kept | undefined {
    if (sealed === "") return { state: {}, upstream: [] };
    const text = unseal(sealed, this.#options.sealKeys, session);
    return text === undefined ? undefined : (JSON.parse(text) as Kept);
  }

  #own(owned: Omit<OwnedSession, "certainUntilMs">, sentMs: number): void {
    const session = sessionHash(owned.sessionId);
    this.#places.forget(session);
    this.#owned.set(session, { ...owned, certainUntilMs: sentMs + this.#options.deadAfterMs });
  }

  #scheduleBeat(): void {
    this.#beatTimer = this.#clock.setTimer(
      () => {
        const beats = inBatches([...this.#owned], ([session, owned]) =>
          this.#beat(session, owned).catch(() => {}),
        );
        const announced = this.#records.announce().catch(() => {});
        void Promise.all([beats, announced]).finally(() => {
          if (this.#closing === undefined) this.#scheduleBeat();
        });
      },
      this.#options.heartbeatMs,
      true,
    );
  }

  async #beat(session: string, owned: OwnedSession): Promise<void> {
    const { epoch, principal, saved, sealed } = owned;
    const sentMs = this.#clock.now();
    try {
      let answer = await this.#records.beat(session, epoch, principal, saved ? "" : sealed);
      if (answer === "restored" && saved)
        answer = await this.#records.beat(session, epoch, principal, sealed);
      this.#counts.beats++;
      // Ended by another replica whose notice is still on its way: to be ended upstream too, unlike what was taken over.
      if (answer === "ended") return this.#ended(session);
      if (answer !== "lost") {
        if (owned.sealed === sealed) owned.saved = true;
        owned.certainUntilMs = sentMs + this.#options.deadAfterMs;
        return;
      }
    } catch (error) {
      this.#counts.beatFailures++;
      throw error;
    }
    if (this.#owned.get(session) !== owned) return;
    this.#owned.delete(session);
    this.#counts.ownershipsLost++;
    this.#deps.onOwnershipLost(owned.sessionId);
  }

  #received(notice: Notice): void {
    if (notice.from === this.instanceId) return;
    this.#counts.noticesReceived++;
    if (notice.kind === "server") this.#deps.onEvict({ kind: "server", serverId: notice.serverId });
    else this.#ended(notice.session);
  }

  #ended(session: string): void {
    this.#places.forget(session);
    const owned = this.#owned.get(session);
    if (owned === undefined) return;
    this.#owned.delete(session);
    this.#deps.onEvict({ kind: "session", sessionId: owned.sessionId });
  }
}

async function inBatches<T>(items: readonly T[], run: (item: T) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < items.length; at += BEATS_AT_ONCE) {
    await Promise.all(items.slice(at, at + BEATS_AT_ONCE).map(run));
  }
}
