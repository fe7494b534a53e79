import type { NotificationMessage } from "@gatewright/mcp-bridge";
import type { Listener, NotificationHub, SubscriptionFilter } from "@gatewright/mcp-bridge/bridge";
import type { Target } from "../calls/target.ts";
import { GatewayError } from "../errors.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import { fromSources, readSource, toSources } from "./change-source.ts";
import type { Exchange } from "./exchange.ts";
import { followedBy } from "./followed.ts";
import { Follower, type FollowerOptions } from "./follower.ts";

/** What change notifications come by. */
export interface EarsOptions {
  readonly hub: NotificationHub;
  readonly snapshot: () => Snapshot;
  /** Takes what an upstream says, before any client does. */
  readonly hear: (upstreamId: string, message: NotificationMessage) => void;
  /** A notification as the clients of an endpoint get it. */
  readonly expose: (target: Target, upstreamId: string, message: NotificationMessage) => NotificationMessage;
}

/** Whose an endpoint is listened to for. */
export type Hearer = Pick<Exchange, "target" | "principal">;

/** Listens to upstreams on behalf of clients, in the words of their endpoints. */
export class Ears {
  readonly #options: EarsOptions;
  /** What was delivered last: all listeners get it one after the other. */
  #heard: NotificationMessage | undefined;

  constructor(options: EarsOptions) {
    this.#options = options;
  }

  /** Follows the lists of an endpoint. @throws {GatewayError} `overloaded` */
  follower(hearer: Hearer, options: Omit<FollowerOptions, "target" | "listen">): Follower {
    const { target } = hearer;
    const listen: FollowerOptions["listen"] = (filters) => this.listen(hearer, filters, options.tell);
    return new Follower({ ...options, target, listen }, followedBy(this.#options.snapshot(), target));
  }

  /**
   * Listens, by the listener's own credentials where an upstream is shown any.
   *
   * @throws {GatewayError} `overloaded`
   */
  listen(
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
        pending: (some) => listener.pending(toSources(snapshot(), principal, some)),
        close: () => listener.close(),
      };
    }
    throw new GatewayError("overloaded", "too many clients listen", { retryAfterMs: 5_000 });
  }
}
