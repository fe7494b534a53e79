import type { Listener, ListenerOptions } from "@gatewright/mcp-bridge/bridge";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { GatewayError } from "../errors.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import { maxSubscriptionChars, maxSubscriptions } from "./listen-filter.ts";
import type { SubscriptionBounds } from "./subscription-bounds.ts";

/** Begins to listen on behalf of a session. @throws {GatewayError} `overloaded` */
export type ListenFor = (session: DownstreamSession, filters: ListenerOptions["filters"]) => Listener;

/** The resources of upstreams without sessions that clients with one subscribe to. */
export class ResourceSubscriptions {
  readonly #bounds: SubscriptionBounds;
  readonly #listen: ListenFor;
  readonly #listeners = new Map<DownstreamSession, Map<string, Listener>>();

  constructor(bounds: SubscriptionBounds, listen: ListenFor) {
    this.#bounds = bounds;
    this.#listen = listen;
  }

  /** The one there is. */
  get(session: DownstreamSession, upstreamId: string, uri: string): Listener | undefined {
    return this.#listeners.get(session)?.get(keyOf(upstreamId, uri));
  }

  /**
   * Begins one, where there is none yet.
   *
   * @throws {GatewayError} `overloaded` when there are too many, `session_owner_unreachable` when the session has ended here
   */
  begin(session: DownstreamSession, upstreamId: string, uri: string): Listener {
    if (session.onEnd.ended) throw endedMeanwhile();
    const known = this.#of(session);
    const key = keyOf(upstreamId, uri);
    const before = known.get(key);
    if (before !== undefined) return before;
    const chars = [...known.keys()].reduce((sum, { length }) => sum + length, key.length);
    if (known.size >= maxSubscriptions || chars > maxSubscriptionChars) {
      throw new GatewayError("overloaded", "the session subscribes to too many resources");
    }
    const filters = new Map([[upstreamId, { resourceSubscriptions: [uri] }]]);
    const listener = this.#counted(session, filters);
    known.set(key, listener);
    const uris = session.subscriptions.get(upstreamId) ?? new Set();
    session.subscriptions.set(upstreamId, uris.add(uri));
    return listener;
  }

  /** Ends one: whichever there is, or this one alone. */
  end(session: DownstreamSession, upstreamId: string, uri: string, only?: Listener): void {
    const known = this.#listeners.get(session);
    const key = keyOf(upstreamId, uri);
    const listener = known?.get(key);
    if (only !== undefined && listener !== only) return;
    listener?.close();
    known?.delete(key);
    const uris = session.subscriptions.get(upstreamId);
    if (uris?.delete(uri) && uris.size === 0) session.subscriptions.delete(upstreamId);
  }

  /** Ends those of upstreams that are gone. */
  follow({ upstreams }: Snapshot): void {
    for (const session of this.#listeners.keys()) {
      for (const [upstreamId, uris] of session.subscriptions) {
        if (upstreams.has(upstreamId)) continue;
        for (const uri of [...uris]) this.end(session, upstreamId, uri);
      }
    }
  }

  #counted(session: DownstreamSession, filters: ListenerOptions["filters"]): Listener {
    const free = this.#bounds.take(session.principal.key, 1);
    try {
      const listener = this.#listen(session, filters);
      const close = () => {
        listener.close();
        free();
      };
      return { ...listener, close };
    } catch (error) {
      free();
      throw error;
    }
  }

  #of(session: DownstreamSession): Map<string, Listener> {
    const known = this.#listeners.get(session);
    if (known !== undefined) return known;
    const made = new Map<string, Listener>();
    this.#listeners.set(session, made);
    session.onEnd.add(() => {
      for (const listener of made.values()) listener.close();
      this.#listeners.delete(session);
    });
    return made;
  }
}

/** The refusal of what a session is asked for here after another replica went on with it: nobody would keep it. */
export function endedMeanwhile(): GatewayError {
  return new GatewayError("session_owner_unreachable", "the session has ended here; ask again", {
    retryAfterMs: 1_000,
  });
}

function keyOf(upstreamId: string, uri: string): string {
  return JSON.stringify([upstreamId, uri]);
}
