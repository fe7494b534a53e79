import { type NotificationMessage, parseMessage } from "@gatewright/mcp-bridge";
import type { Listener, ListenerOptions, SubscriptionFilter } from "@gatewright/mcp-bridge/bridge";
import type { Target } from "../calls/target.ts";
import type { Followed } from "./followed.ts";

/** What a follower is made of. */
export interface FollowerOptions {
  readonly target: Target;
  /** What it wants to hear of which upstream. */
  readonly filters: (followed: Followed) => ListenerOptions["filters"];
  /** Begins to listen. @throws {GatewayError} `overloaded` */
  readonly listen: (filters: ListenerOptions["filters"]) => Listener;
  /** Whether it is told of the change of a list that no upstream announced. */
  readonly wants: (method: string) => boolean;
  readonly tell: (message: NotificationMessage) => void;
  /** The endpoint is no more. */
  readonly onGone?: () => void;
}

/** Follows the lists of an endpoint for one client, whatever becomes of the upstreams behind it. */
export class Follower {
  readonly #options: FollowerOptions;
  #followed: Followed;
  #filters: ListenerOptions["filters"];
  #listener: Listener | undefined;

  constructor(options: FollowerOptions, followed: Followed) {
    this.#options = options;
    this.#followed = followed;
    this.#filters = options.filters(followed);
    if (this.#filters.size > 0) this.#listener = options.listen(this.#filters);
  }

  get target(): Target {
    return this.#options.target;
  }

  /** What the upstreams honour. */
  get acknowledged(): Promise<ReadonlyMap<string, SubscriptionFilter>> {
    return this.#listener?.acknowledged ?? Promise.resolve(new Map());
  }

  /** Whether changes of the upstream's lists are heard here. */
  hears(upstreamId: string): boolean {
    return this.#filters.has(upstreamId);
  }

  /** Takes another state of the registry. */
  follow(followed: Followed): void {
    const before = this.#followed;
    this.#followed = followed;
    if (followed.key === before.key && (this.#listener !== undefined || this.#filters.size === 0)) return;
    const { filters, listen, target, onGone } = this.#options;
    this.#filters = filters(followed);
    if (this.#listener !== undefined) void this.#listener.aim(this.#filters);
    else if (this.#filters.size > 0) {
      try {
        this.#listener = listen(this.#filters);
      } catch {
        // Too many listen. Others are not to suffer for it; the next state of the registry brings another try.
      }
    }
    if (followed.gone) onGone?.();
    else if (target.kind === "aggregate") {
      const lists = new Set([...before.lists, ...followed.lists]);
      this.#tellAll([...lists].filter((list) => followed.made.get(list) !== before.made.get(list)));
    }
  }

  /** Says that the lists may have changed while nobody listened. */
  tellAll(): void {
    if (this.#filters.size > 0) this.#tellAll(this.#followed.lists);
  }

  close(): void {
    this.#listener?.close();
  }

  #tellAll(methods: Iterable<string>): void {
    const { wants, tell } = this.#options;
    for (const method of methods) {
      if (!wants(method)) continue;
      const message = parseMessage(Buffer.from(JSON.stringify({ jsonrpc: "2.0", method })));
      if (message.kind === "notification") tell(message);
    }
  }
}
