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

/**
 * Listens for changes of the lists of all upstreams that announce them, with one stream each, so that a change is
 * noticed while no client is there. One replica does this, the leader. Programs are not started for it.
 */
export class ChangeListener {
  readonly #options: ChangeListenerOptions;
  readonly #hub: NotificationHub;
  readonly #listeners = new Map<string, Listener>();

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
    for (const [id, listener] of this.#listeners) {
      if (wanted.has(id)) continue;
      this.#listeners.delete(id);
      listener.close();
    }
    for (const [id, filter] of wanted) {
      if (this.#listeners.has(id)) continue;
      const onNotification = this.#options.hear;
      const listener = this.#hub.listen({ filters: new Map([[id, filter]]), onNotification });
      if (listener === undefined) return;
      listener.acknowledged.catch(() => undefined);
      this.#listeners.set(id, listener);
    }
  }

  /** Listens no more. */
  close(): void {
    for (const listener of this.#listeners.values()) listener.close();
    this.#listeners.clear();
  }
}

/** Offline ones are not asked: their health checks find them. */
function announced(record: UpstreamRecord): SubscriptionFilter | undefined {
  return record.state === "reachable" && record.definition.command === undefined
    ? announcedBy(record)
    : undefined;
}
