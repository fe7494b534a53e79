import { type NotificationMessage, parseMessage } from "@gatewright/mcp-bridge";
import {
  encodeAcknowledged,
  encodeListenResult,
  LIST_KINDS,
  LIST_NOTIFICATIONS,
  type Listener,
  mergeAcknowledged,
  type NotificationHub,
  type SubscriptionFilter,
  withoutSubscriptionId,
  withSubscriptionId,
} from "@gatewright/mcp-bridge/bridge";
import type { Target } from "../calls/target.ts";
import type { OpenChannels } from "../channels/open-channels.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { GatewayError } from "../errors.ts";
import { isListChange } from "../polling/announced.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import { fromSources, readSource, toSources } from "./change-source.ts";
import type { Exchange } from "./exchange.ts";
import { followedBy } from "./followed.ts";
import { Follower, type FollowerOptions } from "./follower.ts";
import { endedMeanwhile, ResourceSubscriptions } from "./resource-subscriptions.ts";
import { SubscriptionBounds } from "./subscription-bounds.ts";
import type { ShowNotification } from "./upstream-access.ts";

/** Most notifications of one listener that wait for its acknowledgement. */
const maxHeld = 256;

/** What change notifications go through. */
export interface ListeningOptions {
  readonly hub: NotificationHub;
  readonly snapshot: () => Snapshot;
  /** Counts the streams of clients, and bounds them. */
  readonly channels: OpenChannels;
  /** Takes what an upstream says, before any client does. */
  readonly hear: (upstreamId: string, message: NotificationMessage) => void;
  /** A notification as the clients of an endpoint get it. */
  readonly expose: (target: Target, upstreamId: string, message: NotificationMessage) => NotificationMessage;
}

/** Whose an endpoint is listened to for. */
type Hearer = Pick<Exchange, "target" | "principal">;

/** Change notifications for clients of every revision, from one stream per upstream and credentials. */
export class Listening {
  readonly #options: ListeningOptions;
  readonly #followers = new Map<DownstreamSession, Follower>();
  readonly #streams = new Set<Follower>();
  readonly #bounds = new SubscriptionBounds();
  readonly #subscriptions = new ResourceSubscriptions(this.#bounds, (session, filters) => {
    return this.#listen(session, filters, deliverTo(session));
  });
  /** Ends of the streams that are open. */
  readonly #ends = new Set<() => void>();
  /** What was delivered last: all listeners get it one after the other, many of them under the same id. */
  #heard: NotificationMessage | undefined;
  #framed:
    | { readonly message: NotificationMessage; readonly idText: string; readonly bytes: Buffer }
    | undefined;

  constructor(options: ListeningOptions) {
    this.#options = options;
  }

  /**
   * Serves `subscriptions/listen` until the client goes, the endpoint does, or the gateway stops. `wanted` is the
   * client's own filter; `filters` by upstream id, as they are now.
   */
  async serve(
    exchange: Exchange,
    wanted: SubscriptionFilter,
    filters: () => ReadonlyMap<string, SubscriptionFilter>,
  ): Promise<void> {
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const end = () => resolve();
    const { principal, headers } = exchange;
    const { authorization } = headers;
    const free = this.#bounds.take(principal.key, wanted.resourceSubscriptions?.length ?? 0);
    let leave: (() => void) | undefined;
    try {
      leave = this.#options.channels.add("listen", principal, { revoke: end, authorization });
      await this.#serve(exchange, wanted, filters, { over, end });
    } finally {
      leave?.();
      free();
    }
  }

  /** Tells a client with a session of changes of its endpoint's lists from now on. */
  followLists(session: DownstreamSession): void {
    if (this.#followers.has(session)) return;
    const follower = this.#follower(session, {
      filters: (followed) => followed.filters,
      wants: () => true,
      tell: deliverTo(session),
    });
    this.#followers.set(session, follower);
    session.onEnd.add(() => {
      this.#followers.delete(session);
      follower.close();
    });
  }

  /** Goes on with what another replica did for a session; changes meanwhile may have been missed. */
  goOn(session: DownstreamSession): void {
    this.followLists(session);
    this.#followers.get(session)?.tellAll();
    const deliver = deliverTo(session);
    for (const [upstreamId, uris] of session.subscriptions) {
      for (const uri of uris) {
        this.#subscriptions.begin(session, upstreamId, uri);
        const message = updated(uri);
        if (message !== undefined) deliver(this.#options.expose(session.target, upstreamId, message));
      }
    }
  }

  /** Takes a new state of the registry: upstreams that came or went, and their subscriptions with them. */
  follow(snapshot: Snapshot): void {
    for (const follower of [...this.#followers.values(), ...this.#streams]) {
      follower.follow(followedBy(snapshot, follower.target));
    }
    this.#subscriptions.follow(snapshot);
  }

  /** What a session gets of a notification of one of its upstream sessions; undefined when it hears it here. */
  readonly show: ShowNotification = (session, upstreamId, message) => {
    const heardHere = isListChange(message) && this.#followers.get(session)?.hears(upstreamId) === true;
    return heardHere ? undefined : this.#options.expose(session.target, upstreamId, message);
  };

  /**
   * Begins a client's subscription to a resource of an upstream that knows no sessions; false when the upstream does not
   * acknowledge it, and there is none.
   *
   * @throws {GatewayError} `overloaded`, `session_owner_unreachable`
   */
  async subscribe(session: DownstreamSession, upstreamId: string, uri: string): Promise<boolean> {
    const before = this.#subscriptions.get(session, upstreamId, uri);
    const listener = before ?? this.#subscriptions.begin(session, upstreamId, uri);
    const honoured = (await listener.acknowledged).get(upstreamId)?.resourceSubscriptions;
    if (session.onEnd.ended) throw endedMeanwhile();
    if (honoured?.includes(uri) === true) return true;
    // Who began it has ended it, unless it is one that was taken over: that lasts, and may be honoured by now.
    if (before !== undefined) return this.#subscriptions.get(session, upstreamId, uri) === before;
    // Not one that the client began after it had ended this one.
    this.#subscriptions.end(session, upstreamId, uri, listener);
    return false;
  }

  /** Ends one. */
  unsubscribe(session: DownstreamSession, upstreamId: string, uri: string): void {
    this.#subscriptions.end(session, upstreamId, uri);
  }

  /** Ends all streams of clients without sessions in good order. */
  close(): void {
    for (const end of this.#ends) end();
  }

  async #serve(
    exchange: Exchange,
    wanted: SubscriptionFilter,
    filters: () => ReadonlyMap<string, SubscriptionFilter>,
    { over, end }: { readonly over: Promise<void>; readonly end: () => void },
  ): Promise<void> {
    const { reply, idText, signal } = exchange;
    const lists = new Set(LIST_KINDS.filter((kind) => wanted[kind]).map((kind) => LIST_NOTIFICATIONS[kind]));
    let held: Buffer[] | undefined = [];
    const tell = (message: NotificationMessage) => {
      const bytes = this.#frame(message, idText);
      if (held === undefined) reply.message(bytes);
      else if (held.length < maxHeld) held.push(bytes);
    };
    const stream = this.#follower(exchange, {
      filters,
      wants: (method) => lists.has(method),
      tell,
      onGone: end,
    });
    this.#streams.add(stream);
    this.#ends.add(end);
    signal.addEventListener("abort", end, { once: true });
    try {
      const honoured = await stream.acknowledged;
      reply.message(Buffer.from(encodeAcknowledged(idText, this.#shown(exchange, honoured, wanted))));
      for (const bytes of held) reply.message(bytes);
      held = undefined;
      await over;
    } finally {
      this.#streams.delete(stream);
      this.#ends.delete(end);
      signal.removeEventListener("abort", end);
      stream.close();
    }
    if (signal.aborted) reply.abandon();
    else reply.answer(encodeListenResult(idText));
  }

  #follower(hearer: Hearer, options: Omit<FollowerOptions, "target" | "listen">): Follower {
    const { target } = hearer;
    const listen: FollowerOptions["listen"] = (filters) => this.#listen(hearer, filters, options.tell);
    return new Follower({ ...options, target, listen }, followedBy(this.#options.snapshot(), target));
  }

  #frame(message: NotificationMessage, idText: string): Buffer {
    const last = this.#framed;
    if (last?.message === message && last.idText === idText) return last.bytes;
    const bytes = withSubscriptionId(message, idText);
    this.#framed = { message, idText, bytes };
    return bytes;
  }

  /**
   * What is honoured of all filters, in the words of the endpoint. Of several upstreams as one, every list may change: with
   * the upstreams.
   */
  #shown(
    { target }: Exchange,
    honoured: ReadonlyMap<string, SubscriptionFilter>,
    { resourceSubscriptions: _, ...lists }: SubscriptionFilter,
  ): SubscriptionFilter {
    const { expose } = this.#options;
    const parts = [...honoured].map(([upstreamId, filter]) => {
      const uris = (filter.resourceSubscriptions ?? []).map((uri) => {
        const message = updated(uri);
        const shown = message && expose(target, upstreamId, message);
        return String(shown?.params?.["uri"] ?? uri);
      });
      return filter.resourceSubscriptions === undefined ? filter : { ...filter, resourceSubscriptions: uris };
    });
    return mergeAcknowledged(target.kind === "aggregate" ? [lists, ...parts] : parts);
  }

  /** Listens, by the listener's own credentials where an upstream is shown any. */
  #listen(
    { target, principal }: Hearer,
    filters: ReadonlyMap<string, SubscriptionFilter>,
    deliver: (message: NotificationMessage) => void,
  ): Listener {
    const { hub, hear, expose, snapshot } = this.#options;
    const onNotification = (source: string, message: NotificationMessage) => {
      const { upstreamId } = readSource(source);
      if (message !== this.#heard) {
        this.#heard = message;
        hear(upstreamId, message);
      }
      deliver(expose(target, upstreamId, message));
    };
    const listener = hub.listen({ filters: toSources(snapshot(), principal, filters), onNotification });
    if (listener !== undefined) {
      return {
        acknowledged: listener.acknowledged.then(fromSources),
        aim: (others) => listener.aim(toSources(snapshot(), principal, others)).then(fromSources),
        close: () => listener.close(),
      };
    }
    throw new GatewayError("overloaded", "too many clients listen", { retryAfterMs: 5_000 });
  }
}

/** The notice that a resource was updated. */
function updated(uri: string): NotificationMessage | undefined {
  const text = JSON.stringify({ jsonrpc: "2.0", method: "notifications/resources/updated", params: { uri } });
  const message = parseMessage(Buffer.from(text));
  return message.kind === "notification" ? message : undefined;
}

function deliverTo(session: DownstreamSession): (message: NotificationMessage) => void {
  return (message) => session.deliver(withoutSubscriptionId(message));
}
