import type { NotificationMessage } from "@gatewright/mcp-bridge";
import { type SubscriptionFilter, withoutSubscriptionId } from "@gatewright/mcp-bridge/bridge";
import type { OpenChannels } from "../channels/open-channels.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { GatewayError } from "../errors.ts";
import { isListChange } from "../polling/announced.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import type { ShowNotification } from "./client-contexts.ts";
import { Ears, type EarsOptions } from "./ears.ts";
import type { Exchange } from "./exchange.ts";
import { followedBy } from "./followed.ts";
import type { Follower } from "./follower.ts";
import { ListenStreams } from "./listen-streams.ts";
import { endedMeanwhile, ResourceSubscriptions } from "./resource-subscriptions.ts";
import { resourceUpdated } from "./resource-updated.ts";
import { SubscriptionBounds } from "./subscription-bounds.ts";
import { untilDone } from "./until-done.ts";

/** Pause before what a session that was taken over lacks is tried again. */
const againMs = 2_000;

/** What became of a subscription. */
export type Subscribed = "made" | "refused" | "pending";

/** What change notifications go through. */
export interface ListeningOptions extends EarsOptions {
  /** Counts the streams of clients, and bounds them. */
  readonly channels: OpenChannels;
}

/** Change notifications for clients of every revision, from one stream per upstream and credentials. */
export class Listening {
  readonly #options: ListeningOptions;
  readonly #ears: Ears;
  readonly #streams: ListenStreams;
  readonly #followers = new Map<DownstreamSession, Follower>();
  readonly #subscriptions: ResourceSubscriptions;
  /** Sessions for which there was no room yet. */
  readonly #awaiting = new WeakSet<DownstreamSession>();

  constructor(options: ListeningOptions) {
    const bounds = new SubscriptionBounds();
    const { channels, expose } = options;
    this.#options = options;
    this.#ears = new Ears(options);
    this.#streams = new ListenStreams({ ears: this.#ears, bounds, channels, expose });
    this.#subscriptions = new ResourceSubscriptions(bounds, (session, filters) => {
      return this.#ears.listen(session, filters, deliverTo(session));
    });
  }

  /**
   * Serves `subscriptions/listen` until the client goes, the endpoint does, or the gateway stops. `wanted` is the
   * client's own filter; `filters` by upstream id, as they are now.
   */
  serve(
    exchange: Exchange,
    wanted: SubscriptionFilter,
    filters: () => ReadonlyMap<string, SubscriptionFilter>,
  ): Promise<void> {
    return this.#streams.serve(exchange, wanted, filters);
  }

  /**
   * Tells a client with a session of changes of its endpoint's lists from now on; where too many listen, as soon as there is
   * room, which is no reason to refuse it anything else.
   */
  followLists(session: DownstreamSession): void {
    if (this.#followers.has(session) || this.#awaiting.has(session)) return;
    try {
      this.#follow(session);
    } catch (error) {
      if (!GatewayError.is(error)) throw error;
      this.#awaiting.add(session);
      untilDone(session, againMs, () => {
        this.#follow(session);
        this.#awaiting.delete(session);
        this.#followers.get(session)?.tellAll();
      });
    }
  }

  /** @throws {GatewayError} `overloaded` */
  #follow(session: DownstreamSession): void {
    if (this.#followers.has(session)) return;
    const follower = this.#ears.follower(session, {
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

  /**
   * Goes on with what another replica did for a session. What there is no room for is made later, as soon as there is.
   *
   * @throws {GatewayError} `overloaded`, when not all of it could be done at once
   */
  goOn(session: DownstreamSession): void {
    let told = false;
    const attempt = () => {
      this.#follow(session);
      this.#awaiting.delete(session);
      if (!told) this.#followers.get(session)?.tellAll();
      told = true;
      this.#subscribeAgain(session);
    };
    try {
      attempt();
    } catch (error) {
      if (!this.#followers.has(session)) this.#awaiting.add(session);
      untilDone(session, againMs, attempt);
      throw error;
    }
  }

  /** Takes a new state of the registry: upstreams that came or went, and their subscriptions with them. */
  follow(snapshot: Snapshot): void {
    for (const follower of this.#followers.values()) follower.follow(followedBy(snapshot, follower.target));
    this.#streams.follow(snapshot);
    this.#subscriptions.follow(snapshot);
  }

  /** What a session gets of a notification of one of its upstream sessions; undefined when it hears it here. */
  readonly show: ShowNotification = (session, upstreamId, message) => {
    const heardHere = isListChange(message) && this.#followers.get(session)?.hears(upstreamId) === true;
    return heardHere ? undefined : this.#options.expose(session.target, upstreamId, message);
  };

  /**
   * Begins a client's subscription to a resource of an upstream that knows no sessions, or none of this client's. There is
   * none where the upstream does not acknowledge it: `refused`, or `pending` while it has not said so.
   *
   * @throws {GatewayError} `overloaded`, `session_owner_unreachable`
   */
  async subscribe(session: DownstreamSession, upstreamId: string, uri: string): Promise<Subscribed> {
    const before = this.#subscriptions.get(session, upstreamId, uri);
    const listener = before ?? this.#subscriptions.begin(session, upstreamId, uri);
    const honoured = (await listener.acknowledged).get(upstreamId)?.resourceSubscriptions;
    if (session.onEnd.ended) throw endedMeanwhile();
    if (honoured?.includes(uri) === true) return "made";
    // Who began it has ended it, unless it is one that was taken over: that lasts, and may be honoured by now.
    if (before !== undefined && this.#subscriptions.get(session, upstreamId, uri) === before) return "made";
    const pending = listener.pending(new Map([[upstreamId, { resourceSubscriptions: [uri] }]]));
    // Not one that the client began after it had ended this one.
    this.#subscriptions.end(session, upstreamId, uri, listener);
    return pending ? "pending" : "refused";
  }

  /** Ends one. */
  unsubscribe(session: DownstreamSession, upstreamId: string, uri: string): void {
    this.#subscriptions.end(session, upstreamId, uri);
  }

  /** Ends all streams of clients without sessions in good order. */
  close(): void {
    this.#streams.close();
  }

  /** Makes those subscriptions of a session that there are not; changes until then may have been missed. */
  #subscribeAgain(session: DownstreamSession): void {
    const deliver = deliverTo(session);
    for (const [upstreamId, uris] of session.subscriptions) {
      for (const uri of uris) {
        if (this.#subscriptions.get(session, upstreamId, uri) !== undefined) continue;
        this.#subscriptions.begin(session, upstreamId, uri);
        const message = resourceUpdated(uri);
        if (message !== undefined) deliver(this.#options.expose(session.target, upstreamId, message));
      }
    }
  }
}

function deliverTo(session: DownstreamSession): (message: NotificationMessage) => void {
  return (message) => session.deliver(withoutSubscriptionId(message));
}
