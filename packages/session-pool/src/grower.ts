import type { Bucket, Slot } from "./bucket.ts";
import type { Entry } from "./entry.ts";
import { SessionPoolError } from "./errors.ts";
import type { Evictor } from "./evictor.ts";
import { networkCodeOf } from "./network-code.ts";
import type { PoolState } from "./pool-state.ts";
import type { Scope } from "./scope.ts";
import type { CloseReason, FaultKind } from "./session-factory.ts";

/** Why a key did not get another session; `started` if it does. */
export type Growth =
  | { readonly kind: "started" }
  | { readonly kind: "key_full" }
  /** A hard cap is reached; with `hopeless` nothing under it can be closed for this. */
  | { readonly kind: "capacity"; readonly scope: Scope; readonly hopeless: boolean }
  | { readonly kind: "breaker_open"; readonly retryAfterMs: number; readonly cause: unknown };

/** What the pool does when a connect ends. */
export interface GrowthOwner<S, C> {
  /** False when the session is lost already; else it is `opened` before anybody gets it. */
  adopt(bucket: Bucket<S, C>, session: S, opened: () => void): boolean;
  connectFailed(bucket: Bucket<S, C>, error: SessionPoolError): void;
  connectCancelled(bucket: Bucket<S, C>): void;
}

/** Opens sessions: within the caps, past the breaker, one connect per slot, each owned by the pool. */
export class Grower<S, C> {
  readonly #state: PoolState<S, C>;
  readonly #evictor: Evictor<S, C>;
  readonly #owner: GrowthOwner<S, C>;

  constructor(state: PoolState<S, C>, evictor: Evictor<S, C>, owner: GrowthOwner<S, C>) {
    this.#state = state;
    this.#evictor = evictor;
    this.#owner = owner;
  }

  /** Begins to open one more session for a key if caps and breaker allow it. */
  grow(bucket: Bucket<S, C>, context: C | undefined): Growth {
    if (bucket.live + bucket.slots.size >= bucket.maxSessions) return { kind: "key_full" };
    const room = this.#makeRoom(bucket);
    if (!Array.isArray(room)) return room;
    const permit = bucket.server.breaker.request(this.#state.clock.now());
    if (!permit.allowed)
      return { kind: "breaker_open", retryAfterMs: permit.retryAfterMs, cause: permit.cause };
    const abort = new AbortController();
    const slot: Slot<C> = { abort, context, trial: permit.trial, cancelled: false, lateReason: "late" };
    bucket.slots.add(slot);
    for (const scope of bucket.scopes) {
      scope.used++;
      if (bucket.stateful) scope.stateful++;
    }
    const closes = room.map((victim) => this.#evictor.displace(victim));
    void this.#open(bucket, slot, closes);
    return { kind: "started" };
  }

  /** The idle sessions that must go so that no cap is exceeded; least recently used first. */
  #makeRoom(bucket: Bucket<S, C>): Entry<S, C>[] | Growth {
    const victims: Entry<S, C>[] = [];
    for (const scope of bucket.scopes) {
      const leaving = victims.filter((victim) => victim.bucket.scopes.includes(scope)).length;
      if (scope.used - leaving < scope.limit) continue;
      const victim =
        scope.evictable > leaving
          ? this.#state.idle.find((entry) => entry.bucket.scopes.includes(scope) && !victims.includes(entry))
          : undefined;
      if (victim === undefined) return { kind: "capacity", scope, hopeless: scope.isHopeless };
      victims.push(victim);
    }
    return victims;
  }

  async #open(bucket: Bucket<S, C>, slot: Slot<C>, closes: readonly Promise<void>[]): Promise<void> {
    const state = this.#state;
    const startedMs = state.clock.now();
    const { breaker } = bucket.server;
    let stillborn = false;
    try {
      await Promise.all(closes);
      const session = await this.#connect(bucket, slot);
      if (slot.cancelled) {
        // In the very moment in which it was connected; it keeps its place under the caps until it is closed.
        await this.#evictor.closeSession(bucket, session, slot.lateReason);
        throw slot.abort.signal.reason;
      }
      stillborn = !this.#owner.adopt(bucket, session, () => {
        breaker.succeeded(state.clock.now());
        bucket.slots.delete(slot);
        state.tell("sessionOpened", { ...state.eventOf(bucket), connectMs: state.clock.now() - startedMs });
      });
      if (!stillborn) return;
      void this.#evictor.closeSession(bucket, session, "lost");
      throw new Error("the session was lost as soon as it was open");
    } catch (error) {
      bucket.slots.delete(slot);
      for (const scope of bucket.scopes) {
        scope.used--;
        if (bucket.stateful) scope.stateful--;
      }
      const kind = stillborn ? "session_lost" : kindOf(slot, () => state.classify(error).kind);
      if (blames(kind)) breaker.failed(state.clock.now(), error);
      else breaker.neutral(state.clock.now(), slot.trial);
      if (slot.cancelled) return this.#owner.connectCancelled(bucket);
      const networkCode = networkCodeOf(error);
      const facts = { kind, ...(networkCode === undefined ? {} : { networkCode }) };
      state.tell("connectFailed", { ...state.eventOf(bucket), ...facts });
      this.#owner.connectFailed(
        bucket,
        new SessionPoolError("upstream_unreachable", "could not connect to the upstream server", {
          cause: error,
          details: { serverId: bucket.key.serverId, ...facts },
        }),
      );
    }
  }

  /** One connect; a second one with fresh credentials when the first was refused for its credentials. */
  async #connect(bucket: Bucket<S, C>, slot: Slot<C>): Promise<S> {
    const { staleCredentials } = this.#state;
    const refresh = staleCredentials.delete(bucket.key.id);
    try {
      return await this.#attempt(bucket, slot, refresh);
    } catch (error) {
      if (refresh || slot.abort.signal.aborted || this.#state.classify(error).kind !== "unauthorized")
        throw error;
      return await this.#attempt(bucket, slot, true);
    }
  }

  #attempt(bucket: Bucket<S, C>, slot: Slot<C>, refreshCredentials: boolean): Promise<S> {
    const { clock, factory, options } = this.#state;
    const { signal } = slot.abort;
    return new Promise((resolve, reject) => {
      let over = false;
      const end = () => {
        over = true;
        timer.cancel();
        signal.removeEventListener("abort", aborted);
      };
      const aborted = () => {
        end();
        reject(signal.reason);
      };
      const timer = clock.setTimer(
        () => slot.abort.abort(new DOMException("connect timed out", "TimeoutError")),
        options.connectTimeoutMs,
        false,
      );
      if (signal.aborted) return aborted();
      signal.addEventListener("abort", aborted);
      Promise.resolve()
        .then(() => factory.connect(bucket.key, { signal, context: slot.context, refreshCredentials }))
        .then(
          (session) => {
            // Nobody waits for it any more: it is ended, not leaked.
            if (over) return void this.#evictor.closeSession(bucket, session, slot.lateReason);
            end();
            resolve(session);
          },
          (error) => {
            if (over) return;
            end();
            reject(error);
          },
        );
    });
  }
}

/** Gives up a connect on drain and close; what it still brings is closed, or left to the replica that goes on with it. */
export function cancelSlot(slot: Slot<unknown>, reason: CloseReason): void {
  slot.cancelled = true;
  if (reason === "handed_over") slot.lateReason = reason;
  slot.abort.abort(new DOMException("the pool no longer wants this session", "AbortError"));
}

function kindOf(slot: Slot<unknown>, classify: () => FaultKind): FaultKind {
  if (slot.cancelled) return "aborted";
  return slot.abort.signal.aborted ? "timeout" : classify();
}

/**
 * Whether a failed connect speaks against the server. Own faults, aborts and misrouted calls do not, nor does what it
 * refused one caller: else each could keep all others out.
 */
function blames(kind: FaultKind): boolean {
  return kind === "transport" || kind === "timeout" || kind === "session_lost" || kind === "application";
}
