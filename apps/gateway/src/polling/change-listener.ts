import { isDeepStrictEqual } from "node:util";
import type { Listener, NotificationHub, SubscriptionFilter } from "@gatewright/mcp-bridge/bridge";
import type { UpstreamMessage } from "@gatewright/mcp-bridge/upstream";
import type { UpstreamRecord } from "../registry/records.ts";
import { announcedBy } from "./announced.ts";

/** What the listener works with. */
export interface ChangeListenerOptions {
  readonly hub: NotificationHub;
  /** Most upstreams that are listened to. */
  readonly maxUpstreams: number;
  readonly hear: (upstreamId: string, message: UpstreamMessage) => void;
}

/** A listener for one upstream, and what it listens for. */
interface Heard {
  readonly listener: Listener;
  filter: SubscriptionFilter;
}

/**
 * Listens for changes of the lists of all upstreams that announce them, with one stream each, so that a change is
 * noticed while no client is there. One replica does this, the leader. Programs are not started for it.
 */
export class ChangeListener {
  readonly #options: ChangeListenerOptions;
  readonly #hub: NotificationHub;
  readonly #heard = new Map<string, Heard>();

  constructor(options: ChangeListenerOptions) {
    this.#options = options;
    this.#hub = options.hub;
  }

  /** Listens to these upstreams, as far as they announce changes, and to no others. */
  follow(upstreams: Iterable<UpstreamRecord>): void {
    const wanted = new Map<string, SubscriptionFilter>();
    for (const record of upstreams) {
      const filter = announced(record);
      if (filter !== undefined && wanted.size < this.#options.maxUpstreams) wanted.set(record.id, filter);
    }
    for (const [id, { listener }] of this.#heard) {
      if (wanted.has(id)) continue;
      this.#heard.delete(id);
      listener.close();
    }
    for (const [id, filter] of wanted) {
      const heard = this.#heard.get(id);
      if (heard !== undefined) {
        aim(heard, id, filter);
        continue;
      }
      const onNotification = this.#options.hear;
      const listener = this.#hub.listen({ filters: new Map([[id, filter]]), onNotification });
      if (listener === undefined) return;
      listener.acknowledged.catch(() => undefined);
      this.#heard.set(id, { listener, filter });
    }
  }

  /** Listens no more. */
  close(): void {
    for (const { listener } of this.#heard.values()) listener.close();
    this.#heard.clear();
  }
}

/** Listens for what an upstream announces by now. */
function aim(heard: Heard, id: string, filter: SubscriptionFilter): void {
  if (isDeepStrictEqual(heard.filter, filter)) return;
  heard.filter = filter;
  heard.listener.aim(new Map([[id, filter]])).catch(() => undefined);
}

/** Offline ones are not asked: their health checks find them. */
function announced(record: UpstreamRecord): SubscriptionFilter | undefined {
  return record.state === "reachable" && record.definition.command === undefined
    ? announcedBy(record)
    : undefined;
}
