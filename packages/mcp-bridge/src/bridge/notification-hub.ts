import { z } from "zod";
import type { NotificationMessage } from "../message.ts";
import { parseOptions } from "../parse-options.ts";
import { NotificationSource, type OpenListener } from "./notification-source.ts";
import { matcherOf, type SubscriptionFilter, unionOf } from "./subscription-filter.ts";

/** Options of {@link createNotificationHub}. */
export interface NotificationHubOptions {
  /** Opens a session with an upstream that only listens; its `onMessage` has to be the one given. */
  readonly open: OpenListener;
  /** Longest wait for what an upstream acknowledges, before a listener starts without it. Default 2 000. */
  readonly acknowledgeWaitMs?: number;
  /** Longest wait for an upstream's acknowledgement; then what it was asked for counts as refused. Default 5 000. */
  readonly acknowledgeTimeoutMs?: number;
  /** Pause before a broken stream is opened again; doubles with each failure. Default 1 000. */
  readonly retryBaseMs?: number;
  /** Longest such pause, and how long what an upstream refused is left alone. Default 60 000. */
  readonly retryMaxMs?: number;
  /** How long a stream stays open after its last listener went, and a subscription after the last who wanted it. Default 5 000. */
  readonly lingerMs?: number;
  /** Most listeners. Default 10 000. */
  readonly maxListeners?: number;
}

const schema = z.strictObject({
  open: z.custom<OpenListener>((value) => typeof value === "function"),
  acknowledgeWaitMs: z.int().min(0).default(2_000),
  acknowledgeTimeoutMs: z.int().min(1).default(5_000),
  retryBaseMs: z.int().min(1).default(1_000),
  retryMaxMs: z.int().min(1).default(60_000),
  lingerMs: z.int().min(0).default(5_000),
  maxListeners: z.int().min(1).default(10_000),
});

/** One listener: what it wants of which upstream, and where it goes. */
export interface ListenerOptions {
  /** Wanted notifications by upstream id, URIs in the upstream's own form. */
  readonly filters: ReadonlyMap<string, SubscriptionFilter>;
  /** Called for every wanted notification; must not throw. */
  readonly onNotification: (upstreamId: string, message: NotificationMessage) => void;
}

/** A registered listener. */
export interface Listener {
  /** What each upstream honours of the filter; upstreams that cannot be reached honour nothing yet. */
  readonly acknowledged: Promise<ReadonlyMap<string, SubscriptionFilter>>;
  /** Wants something else from now on; what is wanted still is not interrupted. Resolves like `acknowledged`. */
  aim(filters: ListenerOptions["filters"]): Promise<ReadonlyMap<string, SubscriptionFilter>>;
  /** Whether an upstream has yet to say what it honours of this: it may, the next time. */
  pending(filters: ListenerOptions["filters"]): boolean;
  close(): void;
}

/** Distributes change notifications: one stream per upstream, any number of listeners. */
export interface NotificationHub {
  /** Registers a listener; `undefined` when there are too many. */
  listen(options: ListenerOptions): Listener | undefined;
  stats(): { readonly sources: number; readonly listeners: number };
  /** Ends every stream. */
  close(): void;
}

/** Makes a {@link NotificationHub}. @throws OptionsError */
export function createNotificationHub(options: NotificationHubOptions): NotificationHub {
  return new Hub(parseOptions(schema, options));
}

/** One listener as it is now. */
interface Hearing {
  filters: ListenerOptions["filters"];
  readonly onNotification: ListenerOptions["onNotification"];
}

/** What one listener wants of one upstream. */
interface Wanted {
  readonly filter: SubscriptionFilter;
  readonly matches: (message: NotificationMessage) => boolean;
}

interface Watched {
  readonly source: NotificationSource;
  readonly listeners: Map<Hearing, Wanted>;
  /** Ends the stream that nobody listens to. */
  linger: NodeJS.Timeout | undefined;
  /** Ends the subscriptions that nobody wants. */
  trim: NodeJS.Timeout | undefined;
}

class Hub implements NotificationHub {
  readonly #options: z.output<typeof schema>;
  readonly #watched = new Map<string, Watched>();
  readonly #listeners = new Set<Hearing>();

  constructor(options: z.output<typeof schema>) {
    this.#options = options;
  }

  listen({ filters, onNotification }: ListenerOptions): Listener | undefined {
    if (this.#listeners.size >= this.#options.maxListeners) return undefined;
    const hearing: Hearing = { filters: new Map(), onNotification };
    this.#listeners.add(hearing);
    return {
      acknowledged: this.#aim(hearing, filters),
      aim: (others) => this.#aim(hearing, others),
      pending: (some) =>
        [...some].some(([upstreamId, filter]) => this.#watched.get(upstreamId)?.source.isPending(filter)),
      close: () => {
        if (this.#listeners.delete(hearing)) void this.#aim(hearing, new Map());
      },
    };
  }

  stats() {
    return { sources: this.#watched.size, listeners: this.#listeners.size };
  }

  close(): void {
    for (const watched of this.#watched.values()) stop(watched);
    this.#watched.clear();
    this.#listeners.clear();
  }

  #watch(upstreamId: string): Watched {
    const known = this.#watched.get(upstreamId);
    if (known) {
      clearTimeout(known.linger);
      return known;
    }
    const { open, retryBaseMs, retryMaxMs, acknowledgeTimeoutMs: acknowledgeMs } = this.#options;
    const listeners: Watched["listeners"] = new Map();
    const deliver = (message: NotificationMessage) => {
      for (const [listener, { matches }] of listeners) {
        if (matches(message)) listener.onNotification(upstreamId, message);
      }
    };
    const source = new NotificationSource({
      upstreamId,
      open,
      retryBaseMs,
      retryMaxMs,
      acknowledgeMs,
      deliver,
    });
    const watched: Watched = { source, listeners, linger: undefined, trim: undefined };
    this.#watched.set(upstreamId, watched);
    return watched;
  }

  async #aim(
    hearing: Hearing,
    filters: ListenerOptions["filters"],
  ): Promise<ReadonlyMap<string, SubscriptionFilter>> {
    if (filters.size > 0 && !this.#listeners.has(hearing)) return new Map();
    const before = hearing.filters;
    hearing.filters = filters;
    const { acknowledgeWaitMs } = this.#options;
    const parts = [...filters].map(async ([upstreamId, filter]) => {
      const watched = this.#watch(upstreamId);
      watched.listeners.set(hearing, { filter, matches: matcherOf(filter) });
      const honoured = await watched.source.want(filter, acknowledgeWaitMs);
      return [upstreamId, honoured] as const;
    });
    for (const upstreamId of before.keys()) this.#dropped(upstreamId, hearing);
    return new Map(await Promise.all(parts));
  }

  /** A listener wants less of an upstream, or nothing. */
  #dropped(upstreamId: string, hearing: Hearing): void {
    const watched = this.#watched.get(upstreamId);
    if (watched === undefined) return;
    if (!hearing.filters.has(upstreamId)) watched.listeners.delete(hearing);
    const { lingerMs } = this.#options;
    if (watched.listeners.size === 0) {
      clearTimeout(watched.linger);
      watched.linger = setTimeout(() => this.#retire(upstreamId, watched), lingerMs).unref();
    } else {
      watched.trim ??= setTimeout(() => {
        watched.trim = undefined;
        const wanted = [...watched.listeners.values()].map(({ filter }) => filter);
        if (wanted.length > 0) watched.source.trim(wanted);
      }, lingerMs).unref();
    }
  }

  #retire(upstreamId: string, watched: Watched): void {
    if (watched.listeners.size > 0 || this.#watched.get(upstreamId) !== watched) return;
    this.#watched.delete(upstreamId);
    stop(watched);
  }
}

function stop({ source, linger, trim }: Watched): void {
  clearTimeout(linger);
  clearTimeout(trim);
  source.stop();
}

/** The union of what several upstreams honour, for the acknowledgement of one aggregated endpoint. */
export function mergeAcknowledged(parts: Iterable<SubscriptionFilter>): SubscriptionFilter {
  return unionOf(parts);
}
