import type { NotificationMessage } from "../message.ts";
import { parseMessage } from "../parse-message.ts";
import { pause } from "../upstream/abort.ts";
import type { UpstreamMessage, UpstreamSession } from "../upstream/upstream.ts";
import {
  covers,
  intersectionOf,
  LIST_KINDS,
  LIST_NOTIFICATIONS,
  legacyOffer,
  readFilter,
  type SubscriptionFilter,
  unionOf,
} from "./subscription-filter.ts";

/** Opens a session that only listens. */
export type OpenListener = (
  upstreamId: string,
  options: { readonly onMessage: (message: UpstreamMessage) => void; readonly signal: AbortSignal },
) => Promise<UpstreamSession>;

/** Options of {@link NotificationSource}. */
export interface NotificationSourceOptions {
  readonly upstreamId: string;
  readonly open: OpenListener;
  readonly retryBaseMs: number;
  readonly retryMaxMs: number;
  readonly deliver: (message: NotificationMessage) => void;
}

/**
 * The change notifications of one upstream: one session, one stream, kept open while anybody listens. A modern
 * upstream gets one `subscriptions/listen` with the union of all filters, replaced when more is wanted, or less; a legacy
 * upstream's own stream is used, with `resources/subscribe` and `unsubscribe` per URI. After an interruption
 * every list that is listened to is reported as changed, because changes may have been missed.
 */
export class NotificationSource {
  readonly #options: NotificationSourceOptions;
  readonly #stopped = new AbortController();
  #wanted: SubscriptionFilter = {};
  #honoured: SubscriptionFilter = {};
  #session: UpstreamSession | undefined;
  #listening: { readonly filter: SubscriptionFilter; readonly end: AbortController } | undefined;
  #changed: (() => void) | undefined;
  #waiting = new Set<() => void>();
  /** Whether what nobody wants any more is to be ended. */
  #trimming = false;

  constructor(options: NotificationSourceOptions) {
    this.#options = options;
    this.#run().catch(() => undefined);
  }

  /** Asks for this, too; resolves with what the upstream honours of it, or what it did so far after `waitMs`. */
  async want(own: SubscriptionFilter, waitMs: number): Promise<SubscriptionFilter> {
    if (!covers(this.#wanted, own)) {
      this.#wanted = unionOf([this.#wanted, own]);
      this.#changed?.();
    }
    if (this.#listening && covers(this.#listening.filter, own)) return intersectionOf(own, this.#honoured);
    await new Promise<void>((resolve) => {
      const settle = () => {
        clearTimeout(timer);
        this.#waiting.delete(settle);
        resolve();
      };
      const timer = setTimeout(settle, waitMs);
      this.#waiting.add(settle);
    });
    return intersectionOf(own, this.#honoured);
  }

  /** Asks for nothing but what is wanted still. */
  trim(filters: Iterable<SubscriptionFilter>): void {
    this.#wanted = unionOf(filters);
    this.#trimming = true;
    this.#changed?.();
  }

  /** Ends the stream and its session. */
  stop(): void {
    this.#stopped.abort();
    this.#changed?.();
    for (const settle of [...this.#waiting]) settle();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    let failures = 0;
    let interrupted = false;
    while (!signal.aborted) {
      try {
        await this.#once(interrupted, () => {
          failures = 0;
        });
      } catch {
        failures++;
      }
      interrupted = true;
      const { retryBaseMs, retryMaxMs } = this.#options;
      await pause(Math.min(retryMaxMs, retryBaseMs * 2 ** Math.min(20, failures)), signal);
    }
  }

  /** One session, from opening to its end. */
  async #once(interrupted: boolean, onReady: () => void): Promise<void> {
    const { signal } = this.#stopped;
    const onMessage = (message: UpstreamMessage) => this.#message(message);
    const session = await this.#options.open(this.#options.upstreamId, { onMessage, signal });
    this.#session = session;
    let over = false;
    const closed = session.closed.then(() => {
      over = true;
      this.#changed?.();
    });
    let repeat = interrupted;
    try {
      while (!over && !signal.aborted) {
        const next = new Promise<void>((resolve) => {
          this.#changed = resolve;
        });
        if (this.#isOff()) {
          await this.#listen(session, this.#wanted);
          onReady();
          if (repeat) this.#reportAll();
          repeat = false;
        }
        for (const settle of [...this.#waiting]) settle();
        await next;
        if (session.era === "modern" && this.#listening?.end.signal.aborted) return;
      }
    } finally {
      this.#listening?.end.abort();
      this.#listening = undefined;
      this.#honoured = {};
      this.#session = undefined;
      void session.close();
      void closed;
    }
  }

  /** Whether the upstream is to be asked anew: for more, or, once in a while, for less. */
  #isOff(): boolean {
    const asked = this.#listening?.filter;
    const trimming = this.#trimming;
    this.#trimming = false;
    if (asked === undefined || !covers(asked, this.#wanted)) return true;
    return trimming && !covers(this.#wanted, asked);
  }

  async #listen(session: UpstreamSession, filter: SubscriptionFilter): Promise<void> {
    const before = this.#listening;
    const end = new AbortController();
    if (session.era === "modern") this.#honoured = await this.#openStream(session, filter, end);
    else {
      const known = this.#honoured.resourceSubscriptions ?? [];
      this.#honoured = legacyOffer(session, filter);
      const wanted = this.#honoured.resourceSubscriptions ?? [];
      await subscribeTo(session, {
        added: wanted.filter((uri) => !known.includes(uri)),
        removed: known.filter((uri) => !wanted.includes(uri)),
      });
    }
    this.#listening = { filter, end };
    before?.end.abort();
  }

  /** Opens a modern stream; resolves with the acknowledged filter. */
  #openStream(
    session: UpstreamSession,
    filter: SubscriptionFilter,
    end: AbortController,
  ): Promise<SubscriptionFilter> {
    return new Promise((resolve, reject) => {
      const params = JSON.stringify({ notifications: filter });
      const onMessage = (message: UpstreamMessage) => {
        if (message.method === "notifications/subscriptions/acknowledged") {
          resolve(readFilter(message.params?.["notifications"]));
        } else this.#message(message);
      };
      const over = () => {
        if (end.signal.aborted) return;
        end.abort();
        this.#changed?.();
      };
      session
        .request({ method: "subscriptions/listen", params }, { timeoutMs: 0, signal: end.signal, onMessage })
        .then((answer) => (answer.kind === "error" ? reject(new Error("refused")) : over()), reject)
        .finally(over);
    });
  }

  #message(message: UpstreamMessage): void {
    if (message.kind === "notification") {
      this.#options.deliver(message);
      return;
    }
    const error = '{"code":-32601,"message":"This session only listens."}';
    const idText = message.bytes.toString("utf8", message.idSpan.start, message.idSpan.end);
    this.#session?.respond({ idText, error }).catch(() => undefined);
  }

  #reportAll(): void {
    for (const kind of LIST_KINDS) {
      if (this.#honoured[kind] !== true) continue;
      const message = parseMessage(Buffer.from(`{"jsonrpc":"2.0","method":"${LIST_NOTIFICATIONS[kind]}"}`));
      if (message.kind === "notification") this.#options.deliver(message);
    }
  }
}

/** Subscriptions of a legacy session; one that is refused changes nothing for the others. */
async function subscribeTo(
  session: UpstreamSession,
  { added, removed }: { readonly added: readonly string[]; readonly removed: readonly string[] },
): Promise<void> {
  const ask = (method: string) => (uri: string) =>
    session.request({ method, params: JSON.stringify({ uri }) });
  await Promise.allSettled([
    ...added.map(ask("resources/subscribe")),
    ...removed.map(ask("resources/unsubscribe")),
  ]);
}
