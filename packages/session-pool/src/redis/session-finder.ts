import type { Clock } from "../clock.ts";
import { LocationCache } from "./location-cache.ts";
import type { OwnedSessions } from "./owned-sessions.ts";
import { type OwnerRecords, principalHash, sessionHash } from "./owner-records.ts";
import type { ResolvedOwnershipOptions } from "./ownership-options.ts";
import type { SealedKeep } from "./sealed-keep.ts";
import type { ReclaimResult, SessionLocation } from "./session-location.ts";

/** What {@link SessionFinder} works with. */
export interface SessionFinderParts {
  readonly instanceId: string;
  readonly options: ResolvedOwnershipOptions;
  readonly clock: Clock;
  readonly records: OwnerRecords;
  readonly owned: OwnedSessions;
  readonly keep: SealedKeep;
}

/** Finds the owners of sessions, and makes this replica the owner of sessions that have none. */
export class SessionFinder {
  readonly reclaims = { won: 0, unresumable: 0, lost: 0, alive: 0, foreign: 0, unknown: 0 };
  readonly #parts: SessionFinderParts;
  readonly #places: LocationCache;
  /** Reclaims under way, by session: a second one would take the session from the first. */
  readonly #reclaiming = new Map<string, Promise<ReclaimResult>>();

  constructor(parts: SessionFinderParts) {
    this.#parts = parts;
    this.#places = new LocationCache(parts.options.maxLocations);
  }

  async locate(sessionId: string, principal: string, fresh: boolean): Promise<SessionLocation> {
    const { clock, instanceId, options, owned, records } = this.#parts;
    const session = sessionHash(sessionId);
    const who = principalHash(sessionId, principal);
    const nowMs = clock.now();
    const held = owned.get(session);
    if (held?.principal === who && fresh) await owned.beat(session, held);
    const here = this.#here(session, who);
    if (here !== undefined) return here;
    const place = fresh ? undefined : this.#places.get(session, nowMs);
    if (place !== undefined) return place.principal === who ? place.location : { kind: "foreign" };
    this.#places.forget(session);
    const record = await records.read(session);
    if (record === undefined) return { kind: "unknown" };
    if (record.principal !== who) return { kind: "foreign" };
    const { owner, url, epoch } = record;
    if (owner === instanceId) {
      // Reclaimed while we asked; else ours by an answer that was lost, and to be had again.
      await this.#reclaiming.get(session)?.catch(() => undefined);
      return this.#here(session, who) ?? { kind: "ownerless", owner, epoch };
    }
    const deadInMs = options.deadAfterMs - record.ageMs;
    if (deadInMs <= 0) return { kind: "ownerless", owner, epoch };
    const location = { kind: "remote", owner, url, epoch, deadInMs } as const;
    const untilMs = nowMs + Math.min(options.locationCacheMs, deadInMs);
    this.#places.set(session, { location, principal: who, untilMs });
    return location;
  }

  async reclaim(sessionId: string, principal: string): Promise<ReclaimResult> {
    const session = sessionHash(sessionId);
    const running = this.#reclaiming.get(session);
    const result =
      running === undefined ? await this.#begin(session, sessionId, principal) : await second(running);
    this.reclaims[result.kind]++;
    return result;
  }

  /** What was remembered of a session is no longer so. */
  forget(session: string): void {
    this.#places.forget(session);
  }

  #here(session: string, who: string): SessionLocation | undefined {
    const owned = this.#parts.owned.get(session);
    if (owned === undefined) return undefined;
    if (owned.principal !== who) return { kind: "foreign" };
    if (owned.ending === true) return { kind: "unknown" };
    return { kind: "mine", epoch: owned.epoch, certain: this.#parts.clock.now() < owned.certainUntilMs };
  }

  async #begin(session: string, sessionId: string, principal: string): Promise<ReclaimResult> {
    const seen = await this.locate(sessionId, principal, true);
    if (seen.kind === "mine") return { kind: "lost" };
    if (seen.kind === "remote") return { kind: "alive", deadInMs: seen.deadInMs };
    if (seen.kind !== "ownerless") return seen;
    const running = this.#reclaiming.get(session);
    if (running !== undefined) return second(running);
    const reclaiming = this.#take(session, sessionId, principalHash(sessionId, principal), seen);
    this.#reclaiming.set(session, reclaiming);
    try {
      return await reclaiming;
    } finally {
      this.#reclaiming.delete(session);
    }
  }

  async #take(
    session: string,
    sessionId: string,
    principal: string,
    seen: { readonly owner: string; readonly epoch: number },
  ): Promise<ReclaimResult> {
    const { clock, keep, owned, records } = this.#parts;
    const sentMs = clock.now();
    const reply = await records.reclaim(session, principal, seen);
    if (reply[0] === "alive") return { kind: "alive", deadInMs: reply[1] };
    if (reply[0] !== "won") return { kind: reply[0] };
    const [, epoch, sealed] = reply;
    const kept = keep.unseal(session, sealed);
    if (kept?.upstream.every(({ resumable }) => resumable)) {
      const { state, upstream } = kept;
      this.#places.forget(session);
      owned.add({ sessionId, epoch, principal, sealed, rev: 0, saved: true, state }, sentMs);
      return { kind: "won", epoch, upstream, state };
    }
    await records.end(session, principal);
    return { kind: "unresumable" };
  }
}

/** Whoever comes second asks again where the session is, once the first is done. */
async function second(running: Promise<ReclaimResult>): Promise<ReclaimResult> {
  await running.catch(() => undefined);
  return { kind: "lost" };
}
