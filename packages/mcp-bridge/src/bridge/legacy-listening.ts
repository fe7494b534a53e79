import type { UpstreamSession } from "../upstream/upstream.ts";
import type { Listening, ListeningOptions } from "./listening.ts";
import { filterOf, legacyOffer, partsOf, type SubscriptionFilter } from "./subscription-filter.ts";

/** Most subscriptions that an upstream is asked for at once. */
const MAX_AT_ONCE = 16;

/** What became of some URIs: taken, or not asked for in time; all others were refused. */
interface Accepted {
  readonly accepted: ReadonlySet<string>;
  readonly unasked: ReadonlySet<string>;
}

/**
 * Listens on the own stream of a legacy session: its capabilities say which lists it tells of, and each resource is
 * subscribed to by itself, so that a refusal concerns that one alone.
 */
export class LegacyListening implements Listening {
  readonly over = false;
  asked: SubscriptionFilter | undefined;
  honoured: SubscriptionFilter = {};
  readonly #session: UpstreamSession;
  readonly #options: ListeningOptions;

  constructor(session: UpstreamSession, options: ListeningOptions) {
    this.#session = session;
    this.#options = options;
  }

  async aim(filter: SubscriptionFilter): Promise<void> {
    const { resourceSubscriptions = [], ...lists } = legacyOffer(this.#session, filter);
    const known = new Set(this.honoured.resourceSubscriptions);
    const wanted = new Set(resourceSubscriptions);
    const removed = [...known].filter((uri) => !wanted.has(uri));
    const added = resourceSubscriptions.filter((uri) => !known.has(uri));
    const [{ accepted, unasked }] = await Promise.all([
      this.#acceptedOf("resources/subscribe", added),
      this.#acceptedOf("resources/unsubscribe", removed),
    ]);
    const refused = added.filter((uri) => !accepted.has(uri));
    const answered = refused.filter((uri) => !unasked.has(uri));
    this.#options.onRefused(partsOf({ resourceSubscriptions: answered }), false);
    this.#options.onRefused(partsOf({ resourceSubscriptions: [...unasked] }), true);
    const isRefused = new Set(refused);
    const subscribed = resourceSubscriptions.filter((uri) => !isRefused.has(uri));
    const parts = new Set(partsOf({ resourceSubscriptions: refused }));
    this.asked = parts.size === 0 ? filter : filterOf(partsOf(filter).filter((part) => !parts.has(part)));
    this.honoured = { ...lists, ...(subscribed.length > 0 && { resourceSubscriptions: subscribed }) };
  }

  end(): void {
    // The session's end is the subscriptions' end.
  }

  /** Which of these the upstream takes, a few at a time; none is asked for after the time of one acknowledgement. */
  async #acceptedOf(method: string, uris: readonly string[]): Promise<Accepted> {
    const accepted = new Set<string>();
    const unasked = new Set<string>();
    const endsMs = performance.now() + this.#options.acknowledgeMs;
    const left = uris.values();
    const work = async () => {
      for (const uri of left) {
        if (performance.now() >= endsMs) unasked.add(uri);
        else if (await this.#accepts(method, uri)) accepted.add(uri);
      }
    };
    await Promise.all(Array.from({ length: Math.min(MAX_AT_ONCE, uris.length) }, work));
    return { accepted, unasked };
  }

  async #accepts(method: string, uri: string): Promise<boolean> {
    const { acknowledgeMs: timeoutMs, signal } = this.#options;
    const request = { method, params: JSON.stringify({ uri }) };
    const answer = await this.#session.request(request, { timeoutMs, signal }).catch(() => undefined);
    return answer?.kind === "result";
  }
}
