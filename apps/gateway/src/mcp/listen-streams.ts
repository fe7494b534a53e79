import type { NotificationMessage } from "@gatewright/mcp-bridge";
import {
  encodeAcknowledged,
  encodeListenResult,
  LIST_KINDS,
  LIST_NOTIFICATIONS,
  mergeAcknowledged,
  type SubscriptionFilter,
  withSubscriptionId,
} from "@gatewright/mcp-bridge/bridge";
import type { OpenChannels } from "../channels/open-channels.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import type { Ears, EarsOptions } from "./ears.ts";
import type { Exchange } from "./exchange.ts";
import { followedBy } from "./followed.ts";
import type { Follower } from "./follower.ts";
import { resourceUpdated } from "./resource-updated.ts";
import type { SubscriptionBounds } from "./subscription-bounds.ts";

/** Most notifications of one listener that wait for its acknowledgement. */
const maxHeld = 256;

/** What streams of changes work with. */
export interface ListenStreamsOptions extends Pick<EarsOptions, "expose"> {
  readonly ears: Ears;
  readonly bounds: SubscriptionBounds;
  /** Counts the streams of clients, and bounds them. */
  readonly channels: OpenChannels;
}

/** Change notifications for clients without sessions: each `subscriptions/listen` is a stream of its own. */
export class ListenStreams {
  readonly #options: ListenStreamsOptions;
  readonly #streams = new Set<Follower>();
  /** Ends of the streams that are open. */
  readonly #ends = new Set<() => void>();
  /** What was written last: many listeners get the same under the same id, one after the other. */
  #framed:
    | { readonly message: NotificationMessage; readonly idText: string; readonly bytes: Buffer }
    | undefined;

  constructor(options: ListenStreamsOptions) {
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
    const { bounds, channels } = this.#options;
    const { principal, headers } = exchange;
    const { authorization } = headers;
    const free = bounds.take(principal.key, wanted.resourceSubscriptions?.length ?? 0);
    let leave: (() => void) | undefined;
    try {
      leave = channels.add("listen", principal, { revoke: end, authorization });
      await this.#serve(exchange, wanted, filters, { over, end });
    } finally {
      leave?.();
      free();
    }
  }

  /** Takes a new state of the registry: upstreams that came or went. */
  follow(snapshot: Snapshot): void {
    for (const stream of this.#streams) stream.follow(followedBy(snapshot, stream.target));
  }

  /** Ends all in good order. */
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
    const stream = this.#options.ears.follower(exchange, {
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
        const message = resourceUpdated(uri);
        const shown = message && expose(target, upstreamId, message);
        return String(shown?.params?.["uri"] ?? uri);
      });
      return filter.resourceSubscriptions === undefined ? filter : { ...filter, resourceSubscriptions: uris };
    });
    return mergeAcknowledged(target.kind === "aggregate" ? [lists, ...parts] : parts);
  }
}
