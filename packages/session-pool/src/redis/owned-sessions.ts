import type { Clock, ClockTimer } from "../clock.ts";
import type { OwnedSession } from "./owned-session.ts";
import { type OwnerRecords, sessionHash } from "./owner-records.ts";
import type { OwnershipHold } from "./session-location.ts";

/** What {@link OwnedSessions} works with. Times in milliseconds. */
export interface OwnedSessionsParts {
  readonly records: OwnerRecords;
  readonly clock: Clock;
  readonly heartbeatMs: number;
  readonly deadAfterMs: number;
  /** Somebody ended the session. */
  readonly onEnded: (sessionId: string) => void;
  /** Another replica owns the session now. */
  readonly onLost: (sessionId: string) => void;
}

/** Beats that are sent without waiting for an answer. */
const BEATS_AT_ONCE = 200;

/** The sessions that this replica owns, each kept by its heartbeat; by the hash of their ids. */
export class OwnedSessions {
  readonly counts = { beats: 0, beatFailures: 0, ownershipsLost: 0 };
  readonly #parts: OwnedSessionsParts;
  readonly #owned = new Map<string, OwnedSession>();
  #timer: ClockTimer | undefined = undefined;
  #stopped = false;

  constructor(parts: OwnedSessionsParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#owned.size;
  }

  get(session: string): OwnedSession | undefined {
    return this.#owned.get(session);
  }

  /** Takes a session up that was claimed or reclaimed by a command sent at `sentMs`. */
  add(owned: Omit<OwnedSession, "certainUntilMs">, sentMs: number): void {
    const certainUntilMs = sentMs + this.#parts.deadAfterMs;
    this.#owned.set(sessionHash(owned.sessionId), { ...owned, certainUntilMs });
  }

  /** The hold on a session; its fields are always those of now. */
  hold(session: string): OwnershipHold | undefined {
    const owned = this.#owned.get(session);
    if (owned === undefined) return undefined;
    const certain = () =>
      this.#owned.get(session) === owned && this.#parts.clock.now() < owned.certainUntilMs;
    return {
      epoch: owned.epoch,
      get certain() {
        return certain();
      },
    };
  }

  /** Begins to beat. */
  start(beside: () => Promise<unknown>): void {
    const beat = () => {
      const beats = inBatches([...this.#owned], ([session, owned]) =>
        this.beat(session, owned).catch(() => {}),
      );
      void Promise.all([beats, beside().catch(() => {})]).finally(() => {
        if (!this.#stopped) this.start(beside);
      });
    };
    this.#timer = this.#parts.clock.setTimer(beat, this.#parts.heartbeatMs, true);
  }

  /** A sign of life, and what was not saved yet. Rejects with `backend_unavailable`. */
  async beat(session: string, owned: OwnedSession): Promise<void> {
    const { records, clock, deadAfterMs, onLost } = this.#parts;
    if (owned.ending === true) {
      await records.end(session, owned.principal);
      return this.ended(session);
    }
    const sentMs = clock.now();
    try {
      let sent = owned.saved ? "" : owned.sealed;
      let answer = await records.beat(session, owned, sent);
      if (answer === "missing") {
        // Until an answer says that all of it arrived, each beat brings all.
        owned.saved = false;
        sent = owned.sealed;
        answer = await records.beat(session, owned, sent);
      }
      this.counts.beats++;
      // Ended by another replica whose notice is still on its way: to be ended upstream too, unlike what was taken over.
      if (answer === "ended") return this.ended(session);
      if (answer !== "lost") {
        if (owned.sealed === sent) owned.saved = true;
        owned.certainUntilMs = sentMs + deadAfterMs;
        return;
      }
    } catch (error) {
      this.counts.beatFailures++;
      throw error;
    }
    if (this.#owned.get(session) !== owned) return;
    this.#owned.delete(session);
    this.counts.ownershipsLost++;
    onLost(owned.sessionId);
  }

  /** Gives one session back. Rejects with `backend_unavailable`; the record is free then once its last beat is old. */
  async release(session: string): Promise<void> {
    const owned = this.#owned.get(session);
    if (owned === undefined) return;
    // What could not be saved yet is saved now: nobody else will.
    if (!owned.saved || owned.ending) await this.beat(session, owned).catch(() => {});
    this.#owned.delete(session);
    await this.#free(session, owned);
  }

  /** Frees a record; one that Redis lost is made anew whole before, so that somebody finds the session. */
  async #free(session: string, owned: OwnedSession): Promise<void> {
    const { records } = this.#parts;
    if ((await records.release(session, owned.epoch)) || owned.ending) return;
    // Makes nothing of a record that is another's, nor of a session that was ended.
    await this.beat(session, owned);
    await records.release(session, owned.epoch);
  }

  /** The end of a session could not be told: it is beaten for no more, and told as soon as Redis answers. */
  endLater(session: string): void {
    const owned = this.#owned.get(session);
    if (owned !== undefined) owned.ending = true;
  }

  /** A session has ended, by whomever. */
  ended(session: string): void {
    const owned = this.#owned.get(session);
    if (owned === undefined) return;
    this.#owned.delete(session);
    this.#parts.onEnded(owned.sessionId);
  }

  /**
   * Stops to beat and gives everything back, until Redis turns out to be out of reach: then each record speaks for itself
   * once its last beat is old enough. Never rejects.
   */
  async close(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    const all = [...this.#owned];
    this.#owned.clear();
    for (let at = 0; at < all.length; at += BEATS_AT_ONCE) {
      const given = await Promise.all(all.slice(at, at + BEATS_AT_ONCE).map((one) => this.#giveBack(one)));
      if (!given.includes(true)) return;
    }
  }

  async #giveBack([session, owned]: readonly [string, OwnedSession]): Promise<boolean> {
    try {
      if (!owned.saved || owned.ending) await this.beat(session, owned);
      await this.#free(session, owned);
      return true;
    } catch {
      return false;
    }
  }
}

async function inBatches<T>(items: readonly T[], run: (item: T) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < items.length; at += BEATS_AT_ONCE) {
    await Promise.all(items.slice(at, at + BEATS_AT_ONCE).map(run));
  }
}
