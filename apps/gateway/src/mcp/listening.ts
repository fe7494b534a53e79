import { type NotificationMessage, parseMessage, WireError } from "@gatewright/mcp-bridge";
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
import type { Target } from "../calls/target.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { GatewayError } from "../errors.ts";
import { announcedBy, isListChange } from "../polling/announced.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Exchange } from "./exchange.ts";
import type { ShowNotification } from "./upstream-access.ts";

/** Most resources that one session subscribes to. */
const maxSubscriptions = 1_000;
/** Most notifications of one listener that wait for its acknowledgement. */
const maxHeld = 256;

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

/** What change notifications go through. */
export interface ListeningOptions {
  readonly hub: NotificationHub;
  /** Takes what an upstream says, before any client does. */
  readonly hear: (upstreamId: string, message: NotificationMessage) => void;
  /** A notification as the clients of an endpoint get it. */
  readonly expose: (target: Target, upstreamId: string, message: NotificationMessage) => NotificationMessage;
}

/** Change notifications for clients of every revision, from one stream per upstream. */
export class Listening {
  readonly #options: ListeningOptions;
  readonly #subscriptions = new WeakMap<DownstreamSession, Map<string, Listener>>();
  /** Upstreams whose lists a session follows here. */
  readonly #followed = new WeakMap<DownstreamSession, Set<string>>();
  /** Ends of the streams that are open. */
  readonly #ends = new Set<() => void>();

  constructor(options: ListeningOptions) {
    this.#options = options;
  }

  /** Serves `subscriptions/listen` until the client goes or the gateway stops. `filters` by upstream id. */
  async serve(exchange: Exchange, filters: ReadonlyMap<string, SubscriptionFilter>): Promise<void> {
    const { reply, idText, signal, target } = exchange;
    let held: Buffer[] | undefined = [];
    const listener = this.#listen(target, filters, (message) => {
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
      reply.message(Buffer.from(encodeAcknowledged(idText, this.#shown(exchange, honoured))));
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

  /**
   * Tells a client with a session of changes of the lists of upstreams, as far as they announce any. Programs are not
   * started for it: those that run for the client tell by themselves.
   */
  followLists(session: DownstreamSession, upstreams: Iterable<UpstreamRecord>): void {
    const followed = this.#followed.get(session) ?? new Set();
    this.#followed.set(session, followed);
    const filters = new Map<string, SubscriptionFilter>();
    for (const upstream of upstreams) {
      if (followed.has(upstream.id)) continue;
      const filter = announcedBy(upstream);
      if (filter === undefined || upstream.definition.command !== undefined) continue;
      followed.add(upstream.id);
      filters.set(upstream.id, filter);
    }
    if (filters.size === 0) return;
    const listener = this.#listen(session.target, filters, deliverTo(session));
    session.onEnd.add(() => listener.close());
  }

  /** What a session gets of a notification of one of its upstream sessions; undefined when it hears it here. */
  readonly show: ShowNotification = (session, upstreamId, message) => {
    const heardHere = isListChange(message) && this.#followed.get(session)?.has(upstreamId);
    return heardHere ? undefined : this.#options.expose(session.target, upstreamId, message);
  };

  /** Begins a client's subscription to a resource of an upstream that knows no sessions. */
  async subscribe(session: DownstreamSession, upstreamId: string, uri: string): Promise<void> {
    const known = this.#subscriptionsOf(session);
    const key = JSON.stringify([upstreamId, uri]);
    if (known.has(key)) return;
    if (known.size >= maxSubscriptions) {
      throw new GatewayError("overloaded", "the session subscribes to too many resources");
    }
    const filters = new Map([[upstreamId, { resourceSubscriptions: [uri] }]]);
    const listener = this.#listen(session.target, filters, deliverTo(session));
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

  /** What is honoured of all filters, in the words of the endpoint. */
  #shown({ target }: Exchange, honoured: ReadonlyMap<string, SubscriptionFilter>): SubscriptionFilter {
    const { expose } = this.#options;
    const parts = [...honoured].map(([upstreamId, filter]) => {
      const uris = (filter.resourceSubscriptions ?? []).map((uri) => {
        const text = JSON.stringify({ jsonrpc: "2.0", method: updatedMethod, params: { uri } });
        const message = parseMessage(Buffer.from(text));
        const shown = message.kind === "notification" ? expose(target, upstreamId, message) : undefined;
        return String(shown?.params?.["uri"] ?? uri);
      });
      return filter.resourceSubscriptions === undefined ? filter : { ...filter, resourceSubscriptions: uris };
    });
    return mergeAcknowledged(parts);
  }

  #listen(
    target: Target,
    filters: ReadonlyMap<string, SubscriptionFilter>,
    deliver: (message: NotificationMessage) => void,
  ): Listener {
    const { hub, hear, expose } = this.#options;
    const onNotification = (upstreamId: string, message: NotificationMessage) => {
      hear(upstreamId, message);
      deliver(expose(target, upstreamId, message));
    };
    const listener = hub.listen({ filters, onNotification });
    if (listener !== undefined) return listener;
    throw new GatewayError("overloaded", "too many clients listen", { retryAfterMs: 5_000 });
  }
}

const updatedMethod = "notifications/resources/updated";

function deliverTo(session: DownstreamSession): (message: NotificationMessage) => void {
  return (message) => session.deliver(withoutSubscriptionId(message));
}
