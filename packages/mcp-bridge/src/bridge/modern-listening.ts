import type { UpstreamMessage, UpstreamSession } from "../upstream/upstream.ts";
import { ListenRefused, type ListenStream, openListenStream } from "./listen-stream.ts";
import type { Listening, ListeningOptions } from "./listening.ts";
import { filterOf, LIST_KINDS, partsOf, type SubscriptionFilter } from "./subscription-filter.ts";

/** Most streams that are tried to find out what of a filter is refused. */
const MAX_TRIALS = 32;

/** What a trial waits at least for its acknowledgement, as a part of the longest wait: with less time none is made. */
const SHORTEST_WAIT = 0.02;

/** What is left to find out what is refused. */
interface Search {
  trials: number;
  /** On the clock of `performance.now`. */
  readonly endsMs: number;
}

/** What {@link ModernListening} is made with. */
export interface ModernListeningOptions extends ListeningOptions {
  readonly onMessage: (message: UpstreamMessage) => void;
  /** The upstream ended the stream. */
  readonly onOver: () => void;
}

/**
 * Listens by one `subscriptions/listen`. When something else is wanted, another stream takes the place of the one that is
 * there once the upstream has acknowledged it. Where it refuses, the new parts are halved until those it refuses are
 * found, so that one that cannot be had costs nobody the others. An upstream that says nothing takes the time of each trial:
 * all of them together have as long as one acknowledgement, and each half of what is left.
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
    const { acknowledgeMs } = this.#options;
    const refusal = await this.#replace(filter, acknowledgeMs);
    if (refusal === undefined) return;
    const known = new Set(partsOf(this.#stream?.asked ?? {}));
    const added = partsOf(filter).filter((part) => !known.has(part));
    if (this.#stream === undefined && (refusal.extent !== "some" || added.length === 1)) throw refusal;
    const endsMs = performance.now() + acknowledgeMs;
    await this.#divide(added, refusal, { trials: MAX_TRIALS, endsMs });
    if (this.#stream === undefined) throw refusal;
  }

  end(): void {
    this.#stream?.end();
  }

  /**
   * Finds out which of these parts, refused together, are refused each: by halves, and those of one size before any that
   * are smaller, so that a part to which the upstream says nothing takes the time of few others.
   */
  async #divide(parts: readonly string[], refusal: ListenRefused, search: Search): Promise<void> {
    let pieces: { readonly parts: readonly string[]; readonly refusal: ListenRefused }[] = [
      { parts, refusal },
    ];
    while (pieces.length > 0) {
      const halves: (readonly string[])[] = [];
      for (const piece of pieces) {
        const { extent } = piece.refusal;
        if (piece.parts.length <= 1 || extent !== "some") {
          this.#options.onRefused(piece.parts, extent === "now");
        } else halves.push(...halvesOf(piece.parts));
      }
      pieces = [];
      for (const [at, half] of halves.entries()) {
        // An equal share for each of this size, and one for all that are smaller.
        const shares = halves.length - at + (half.length > 1 ? 1 : 0);
        const waitMs = (search.endsMs - performance.now()) / shares;
        if (search.trials <= 0 || waitMs < this.#options.acknowledgeMs * SHORTEST_WAIT) {
          this.#options.onRefused(half, false);
          continue;
        }
        search.trials--;
        const known = partsOf(this.#stream?.asked ?? {});
        const refused = await this.#replace(filterOf([...known, ...half]), waitMs);
        if (refused !== undefined) pieces.push({ parts: half, refusal: refused });
      }
    }
  }

  /** Puts a stream with another filter in the place of the one that is there; what was refused leaves it as it is. */
  async #replace(filter: SubscriptionFilter, acknowledgeMs: number): Promise<ListenRefused | undefined> {
    const before = this.#stream;
    try {
      this.#stream = await openListenStream(this.#session, { ...this.#options, filter, acknowledgeMs });
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
