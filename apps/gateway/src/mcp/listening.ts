import { type NotificationMessage, WireError } from "@gatewright/mcp-bridge";
import {
  encodeAcknowledged,
  encodeListenResult,
  type Listener,
  mergeAcknowledged,
  type NotificationHub,
  readFilter,
  type SubscriptionFilter,
  withoutSubscriptionId,
  withSubscriptionId,
} from "@gatewright/mcp-bridge/bridge";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { GatewayError } from "../errors.ts";
import type { Exchange } from "./exchange.ts";

/** Most resources that one session subscribes to. */
const maxSubscriptions = 1_000;
/** Most notifications of one listener that wait for its acknowledgement. */
const maxHeld = 256;

/** Every change of its lists that an upstream may tell of. */
export const allLists: SubscriptionFilter = {
  toolsListChanged: true,
  promptsListChanged: true,
  resourcesListChanged: true,
};

/**
 * The filter of a `subscriptions/listen`.
 *
 * @throws {WireError} `invalid_params` when there is none, or the client takes no stream
 */
export function wantedBy({ message, reply, idText }: Exchange): SubscriptionFilter {
  const wanted = message.params?.["notifications"];
  if (typeof wanted !== "object" || wanted === null || Array.isArray(wanted)) {
    throw new WireError("invalid_params", "params.notifications has to be an object", { idText });
  }
  if (!reply.streamable) {
    throw new WireError("invalid_request", "Accept has to name text/event-stream.", { idText });
  }
  return readFilter(wanted);
}

/** Change notifications for clients of every revision, from one stream per upstream. */
export class Listening {
  readonly #hub: NotificationHub;
  readonly #subscriptions = new WeakMap<DownstreamSession, Map<string, Listener>>();
  /** Ends of the streams that are open. */
  readonly #ends = new Set<() => void>();

  constructor(hub: NotificationHub) {
    this.#hub = hub;
  }

  /** Serves `subscriptions/listen` until the client goes or the gateway stops. `filters` by upstream id. */
  async serve(exchange: Exchange, filters: ReadonlyMap<string, SubscriptionFilter>): Promise<void> {
    const { reply, idText, signal } = exchange;
    let held: Buffer[] | undefined = [];
    const listener = this.#listen(filters, (_id, message) => {
      const bytes = withSubscriptionId(message, idText);
      if (held === undefined) reply.message(bytes);
      else if (held.length < maxHeld) held.push(bytes);
    });
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const end = () => resolve();
    this.#ends.add(end);
    signal.addEventListener("abort", end, { once: true });
    try {
      const honoured = await listener.acknowledged;
      reply.message(Buffer.from(encodeAcknowledged(idText, mergeAcknowledged(honoured.values()))));
      for (const bytes of held) reply.message(bytes);
      held = undefined;
      await over;
    } finally {
      this.#ends.delete(end);
      signal.removeEventListener("abort", end);
      listener.close();
    }
    if (signal.aborted) reply.abandon();
    else reply.answer(encodeListenResult(idText));
  }

  /** Tells a client with a session of changes of the lists of upstreams that know no sessions. */
  followLists(session: DownstreamSession, upstreamIds: Iterable<string>): void {
    const filters = new Map([...upstreamIds].map((id) => [id, allLists]));
    const listener = this.#listen(filters, deliverTo(session));
    session.onEnd.add(() => listener.close());
  }

  /** Begins a client's subscription to a resource of an upstream that knows no sessions. */
  async subscribe(session: DownstreamSession, upstreamId: string, uri: string): Promise<void> {
    const known = this.#subscriptionsOf(session);
    const key = JSON.stringify([upstreamId, uri]);
    if (known.has(key)) return;
    if (known.size >= maxSubscriptions) {
      throw new GatewayError("overloaded", "the session subscribes to too many resources");
    }
    const filters = new Map([[upstreamId, { resourceSubscriptions: [uri] }]]);
    const listener = this.#listen(filters, deliverTo(session));
    known.set(key, listener);
    await listener.acknowledged;
  }

  /** Ends one. */
  unsubscribe(session: DownstreamSession, upstreamId: string, uri: string): void {
    const known = this.#subscriptionsOf(session);
    const key = JSON.stringify([upstreamId, uri]);
    known.get(key)?.close();
    known.delete(key);
  }

  /** Ends all streams of clients without sessions in good order. */
  close(): void {
    for (const end of this.#ends) end();
  }

  #subscriptionsOf(session: DownstreamSession): Map<string, Listener> {
    const known = this.#subscriptions.get(session);
    if (known !== undefined) return known;
    const made = new Map<string, Listener>();
    this.#subscriptions.set(session, made);
    session.onEnd.add(() => {
      for (const listener of made.values()) listener.close();
      made.clear();
    });
    return made;
  }

  #listen(
    filters: ReadonlyMap<string, SubscriptionFilter>,
    onNotification: (upstreamId: string, message: NotificationMessage) => void,
  ): Listener {
    const listener = this.#hub.listen({ filters, onNotification });
    if (listener !== undefined) return listener;
    throw new GatewayError("overloaded", "too many clients listen", { retryAfterMs: 5_000 });
  }
}

function deliverTo(session: DownstreamSession): (upstreamId: string, message: NotificationMessage) => void {
  return (_id, message) => session.deliver(withoutSubscriptionId(message));
}
