import type { RedisOwnership } from "@gatewright/session-pool/redis";
import type { Principal } from "../auth/principal.ts";
import type { DownstreamSession, SessionHold } from "../downstream/downstream-session.ts";
import type { DownstreamSessions } from "../downstream/downstream-sessions.ts";
import { keptState, keptUpstreams, readState } from "./kept-session.ts";
import { foreignSession, noSuchSession, ownerUnreachable, refusalOf } from "./refusals.ts";

/** What {@link TakeOvers} works with. */
export interface TakeOversParts {
  readonly sessions: DownstreamSessions;
  /** Told of a session that was taken over from another replica. */
  readonly onTakenOver: (session: DownstreamSession) => void;
  readonly onError: (error: unknown, what: string) => void;
}

/** Goes on with sessions whose owners are gone, each once for all who ask for it at the same time. */
export class TakeOvers {
  readonly #parts: TakeOversParts;
  readonly #running = new Map<string, Promise<boolean>>();

  constructor(parts: TakeOversParts) {
    this.#parts = parts;
  }

  /**
   * Makes this replica the owner of a session that has none; false when somebody else was quicker.
   *
   * @throws {GatewayError} when the session is not to be had
   */
  async take(ownership: RedisOwnership, sessionId: string, principal: Principal): Promise<boolean> {
    if (this.#running.has(sessionId)) {
      await this.settled(sessionId);
      return false;
    }
    const running = this.#take(ownership, sessionId, principal);
    this.#running.set(sessionId, running);
    try {
      return await running;
    } finally {
      this.#running.delete(sessionId);
    }
  }

  /** Settles when no take-over of the session is under way. Never rejects. */
  async settled(sessionId: string): Promise<void> {
    await this.#running.get(sessionId)?.catch(() => undefined);
  }

  /** What this replica holds of a session that it owns. */
  holdOf(ownership: RedisOwnership, sessionId: string): SessionHold | undefined {
    const { sessions, onError } = this.#parts;
    const hold = ownership.hold(sessionId);
    if (hold === undefined) return undefined;
    return {
      epoch: hold.epoch,
      get certain() {
        return hold.certain;
      },
      async save() {
        const session = sessions.peek(sessionId);
        if (session === undefined) return;
        await ownership
          .save(sessionId, keptUpstreams(session), keptState(session))
          .catch((error) => onError(error, "what a session needs to go on elsewhere could not be kept"));
      },
    };
  }

  async #take(ownership: RedisOwnership, sessionId: string, principal: Principal): Promise<boolean> {
    const result = await ownership.reclaim(sessionId, principal.key).catch((error) => {
      throw refusalOf(error);
    });
    switch (result.kind) {
      case "lost":
        return false;
      case "alive":
        throw ownerUnreachable(result.deadInMs);
      case "foreign":
        throw foreignSession();
      case "unknown":
      case "unresumable":
        throw noSuchSession();
    }
    const { sessions, onTakenOver } = this.#parts;
    const kept = readState(result);
    if (kept === undefined) {
      await ownership.end(sessionId, principal.key).catch(() => undefined);
      throw noSuchSession();
    }
    const hold = this.holdOf(ownership, sessionId);
    if (hold === undefined) return false;
    try {
      onTakenOver(sessions.open(principal, kept.target, kept.hello, { ...kept, id: sessionId, hold }));
    } catch (error) {
      await ownership.release(sessionId).catch(() => undefined);
      throw error;
    }
    return true;
  }
}
