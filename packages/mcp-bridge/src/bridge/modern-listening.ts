import type { UpstreamMessage, UpstreamSession } from "../upstream/upstream.ts";
import { ListenRefused, type ListenStream, openListenStream } from "./listen-stream.ts";
import type { Listening, ListeningOptions } from "./listening.ts";
import { filterOf, LIST_KINDS, partsOf, type SubscriptionFilter } from "./subscription-filter.ts";

/** Most streams that are tried to find out what of a filter is refused. */
const MAX_TRIALS = 32;

/** What {@link ModernListening} is made with. */
export interface ModernListeningOptions extends ListeningOptions {
  readonly onMessage: (message: UpstreamMessage) => void;
  /** The upstream ended the stream. */
  readonly onOver: () => void;
}

/**
 * Listens by one `subscriptions/listen`. When something else is wanted, another stream takes the place of the one that is
 * there once the upstream has acknowledged it. Where it refuses, the new parts are halved until those it refuses are
 * found, so that one that cannot be had costs nobody the others.
 */
export class ModernListening implements Listening {
  readonly #session: UpstreamSession;
  readonly #options: ModernListeningOptions;
  #stream: ListenStream | undefined;

  constructor(session: UpstreamSession, options: ModernListeningOptions) {
    this.#session = session;
    this.#options = options;
  }

  get asked(): SubscriptionFilter | undefined {
    return this.#stream?.asked;
  }

  get honoured(): SubscriptionFilter {
    return this.#stream?.honoured ?? {};
  }

  get over(): boolean {
    return this.#stream?.over === true;
  }

  async aim(filter: SubscriptionFilter): Promise<void> {
    const refusal = await this.#replace(filter);
    if (refusal === undefined) return;
    const known = new Set(partsOf(this.#stream?.asked ?? {}));
    const added = partsOf(filter).filter((part) => !known.has(part));
    if (this.#stream === undefined && (refusal.extent !== "some" || added.length === 1)) throw refusal;
    await this.#divide(added, refusal, MAX_TRIALS);
    if (this.#stream === undefined) throw refusal;
  }

  end(): void {
    this.#stream?.end();
  }

  /** Finds out which of these parts, refused together, are refused each. Returns how many trials are left. */
  async #divide(parts: readonly string[], refusal: ListenRefused, trials: number): Promise<number> {
    if (parts.length <= 1 || refusal.extent !== "some" || trials <= 0) {
      this.#options.onRefused(parts, refusal.extent === "now");
      return trials;
    }
    let left = trials;
    for (const half of halvesOf(parts)) {
      left--;
      const known = partsOf(this.#stream?.asked ?? {});
      const refused = await this.#replace(filterOf([...known, ...half]));
      if (refused !== undefined) left = await this.#divide(half, refused, left);
    }
    return left;
  }

  /** Puts a stream with another filter in the place of the one that is there; what was refused leaves it as it is. */
  async #replace(filter: SubscriptionFilter): Promise<ListenRefused | undefined> {
    const before = this.#stream;
    try {
      this.#stream = await openListenStream(this.#session, { ...this.#options, filter });
    } catch (error) {
      if (error instanceof ListenRefused) return error;
      throw error;
    }
    before?.end();
    return undefined;
  }
}

/** Lists apart from resources; either in two. */
function halvesOf(parts: readonly string[]): readonly (readonly string[])[] {
  const kinds: ReadonlySet<string> = new Set(LIST_KINDS);
  const lists = parts.filter((part) => kinds.has(part));
  const middle = lists.length > 0 && lists.length < parts.length ? lists.length : parts.length >> 1;
  return [parts.slice(0, middle), parts.slice(middle)];
}
