import type { NotificationMessage } from "../message.ts";
import { parseMessage } from "../parse-message.ts";
import { pause } from "../upstream/abort.ts";
import type { UpstreamMessage, UpstreamSession } from "../upstream/upstream.ts";
import { LegacyListening } from "./legacy-listening.ts";
import { ListenRefused } from "./listen-stream.ts";
import type { Listening } from "./listening.ts";
import { ModernListening } from "./modern-listening.ts";
import { RefusedParts } from "./refused-parts.ts";
import {
  covers,
  filterOf,
  intersectionOf,
  LIST_KINDS,
  LIST_NOTIFICATIONS,
  partsOf,
  type SubscriptionFilter,
  unionOf,
} from "./subscription-filter.ts";

/** Opens a session that only listens. */
export type OpenListener = (
  upstreamId: string,
  options: {
    readonly onMessage: (message: UpstreamMessage) => void;
    /** As in `OpenOptions`. */
    readonly onGap: () => void;
    readonly signal: AbortSignal;
  },
) => Promise<UpstreamSession>;

/** Options of {@link NotificationSource}. */
export interface NotificationSourceOptions {
  readonly upstreamId: string;
  readonly open: OpenListener;
  readonly retryBaseMs: number;
  readonly retryMaxMs: number;
  /** Longest wait for an upstream's acknowledgement. */
  readonly acknowledgeMs: number;
  readonly deliver: (message: NotificationMessage) => void;
}

/** Somebody who waits for what the upstream honours. */
interface Waiting {
  readonly own: SubscriptionFilter;
  readonly settle: () => void;
}

/** How long what an upstream could not be asked for is left alone, in pauses of {@link NotificationSourceOptions}. */
const SOON = 5;

/**
 * The change notifications of one upstream: one session, one stream, kept open while anybody listens. A modern
 * upstream gets one `subscriptions/listen` with the union of all filters, replaced when more is wanted, or less; a legacy
 * upstream's own stream is used, with `resources/subscribe` and `unsubscribe` per URI. What the upstream refuses is left
 * alone for a while. After an interruption every list that is listened to, and every resource, is reported as changed,
 * because changes may have been missed.
 */
export class NotificationSource {
  readonly #options: NotificationSourceOptions;
  readonly #stopped = new AbortController();
  readonly #refused = new RefusedParts(() => this.#changed?.());
  #wanted: SubscriptionFilter = {};
  #session: UpstreamSession | undefined;
  #listening: Listening | undefined;
  #changed: (() => void) | undefined;
  readonly #waiting = new Set<Waiting>();
  /** Whether the upstream's last word was that it will tell of nothing. */
  #denied = false;
  /** Whether what nobody wants any more is to be ended. */
  #trimming = false;
  /** What the upstream is being asked for now, in place of what it was asked for before. */
  #aiming: SubscriptionFilter | undefined;
  /** What it refused of that which is wanted: where it honours it later, changes meanwhile were missed. */
  readonly #late = new Set<string>();

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
    if (this.#wasAskedFor(own)) return this.#honouredOf(own);
    await new Promise<void>((resolve) => {
      const settle = () => {
        clearTimeout(timer);
        this.#waiting.delete(waiting);
        resolve();
      };
      const timer = setTimeout(settle, waitMs);
      const waiting = { own, settle };
      this.#waiting.add(waiting);
    });
    return this.#honouredOf(own);
  }

  /** Whether the upstream has yet to say what it honours of this: it says nothing, or is being asked for something else. */
  isPending(own: SubscriptionFilter): boolean {
    if (this.#listening === undefined) return !this.#denied;
    const asked = new Set(partsOf(this.#listening.asked ?? {}));
    return partsOf(own).some((part) => !asked.has(part) && !this.#refused.wasAskedFor(part));
  }

  /** Asks for nothing but what is wanted still. */
  trim(filters: Iterable<SubscriptionFilter>): void {
    this.#wanted = unionOf(filters);
    const wanted = new Set(partsOf(this.#wanted));
    for (const part of this.#late) if (!wanted.has(part)) this.#late.delete(part);
    this.#trimming = true;
    this.#changed?.();
  }

  /** Ends the stream and its session. */
  stop(): void {
    this.#stopped.abort();
    this.#refused.clear();
    this.#changed?.();
    for (const { settle } of [...this.#waiting]) settle();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    let failures = 0;
    let interrupted = false;
    while (!signal.aborted) {
      try {
        await this.#once(interrupted, () => {
          failures = 0;
          this.#denied = false;
        });
      } catch (error) {
        failures++;
        this.#denied = error instanceof ListenRefused && error.answered;
        // Nothing was honoured: that says no more of one part than of another.
        this.#refused.clear();
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
    const onGap = () => this.#reportAll(this.#listening?.honoured ?? {});
    const session = await this.#options.open(this.#options.upstreamId, { onMessage, onGap, signal });
    this.#session = session;
    let over = false;
    const closed = session.closed.then(() => {
      over = true;
      this.#changed?.();
    });
    const listening = this.#listeningTo(session);
    let repeat = interrupted;
    try {
      while (!over && !signal.aborted) {
        const next = new Promise<void>((resolve) => {
          this.#changed = resolve;
        });
        if (this.#isOff(listening)) {
          await this.#aim(listening);
          this.#listening = listening;
          onReady();
          this.#reportAll(repeat ? listening.honoured : this.#lateOf(listening.honoured));
          if (repeat) this.#late.clear();
          repeat = false;
        }
        for (const { own, settle } of [...this.#waiting]) if (this.#wasAskedFor(own)) settle();
        if (listening.over) return;
        await next;
      }
    } finally {
      listening.end();
      this.#listening = undefined;
      this.#session = undefined;
      void session.close();
      void closed;
    }
  }

  async #aim(listening: Listening): Promise<void> {
    const filter = this.#askable(this.#wanted);
    this.#aiming = filter;
    try {
      await listening.aim(filter);
    } finally {
      this.#aiming = undefined;
    }
  }

  #listeningTo(session: UpstreamSession): Listening {
    const { acknowledgeMs, retryBaseMs, retryMaxMs } = this.#options;
    const options = {
      acknowledgeMs,
      signal: this.#stopped.signal,
      onRefused: (parts: readonly string[], soon: boolean) => {
        for (const part of parts) this.#late.add(part);
        this.#refused.add(parts, soon ? Math.min(retryMaxMs, retryBaseMs * SOON) : retryMaxMs, !soon);
      },
    };
    if (session.era === "legacy") return new LegacyListening(session, options);
    return new ModernListening(session, {
      ...options,
      onMessage: (message) => this.#message(message),
      onOver: () => this.#changed?.(),
    });
  }

  /** Whether the upstream is to be asked anew: for more, or, once in a while, for less. */
  #isOff({ asked }: Listening): boolean {
    const trimming = this.#trimming;
    this.#trimming = false;
    if (asked === undefined || !covers(asked, this.#askable(this.#wanted))) return true;
    return trimming && !covers(this.#wanted, asked);
  }

  /** What of a filter the upstream did not refuse lately. */
  #askable(filter: SubscriptionFilter): SubscriptionFilter {
    if (this.#refused.size === 0) return filter;
    return filterOf(partsOf(filter).filter((part) => !this.#refused.has(part)));
  }

  /**
   * Whether the upstream has said what it honours of this. What came while it was being asked is yet to be asked for, also
   * what it is just being asked to tell of no more.
   */
  #wasAskedFor(own: SubscriptionFilter): boolean {
    const asked = this.#listening?.asked;
    const askable = this.#askable(own);
    const staying = this.#aiming === undefined || covers(this.#aiming, askable);
    return asked !== undefined && staying && covers(asked, askable);
  }

  /** What is honoured that was refused before. */
  #lateOf(honoured: SubscriptionFilter): SubscriptionFilter {
    if (this.#late.size === 0) return {};
    return filterOf(partsOf(honoured).filter((part) => this.#late.delete(part)));
  }

  #honouredOf(own: SubscriptionFilter): SubscriptionFilter {
    return intersectionOf(own, this.#listening?.honoured ?? {});
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

  /** Tells of everything that is listened to as if it had changed. */
  #reportAll(honoured: SubscriptionFilter): void {
    for (const kind of LIST_KINDS) {
      if (honoured[kind] === true) this.#tell(`"${LIST_NOTIFICATIONS[kind]}"`);
    }
    for (const uri of honoured.resourceSubscriptions ?? []) {
      this.#tell(`"notifications/resources/updated","params":{"uri":${JSON.stringify(uri)}}`);
    }
  }

  #tell(rest: string): void {
    const message = parseMessage(Buffer.from(`{"jsonrpc":"2.0","method":${rest}}`));
    if (message.kind === "notification") this.#options.deliver(message);
  }
}
