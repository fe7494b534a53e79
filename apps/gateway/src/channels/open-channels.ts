import type { Principal } from "../auth/principal.ts";
import { GatewayError } from "../errors.ts";

/** Something that stays open for one client. */
export interface OpenChannel {
  /** Ends it as soon as nothing is in flight, and takes nothing new. */
  drain(): void;
  /** Ends it now. */
  close(): void;
}

/** Bounds of {@link OpenChannels}. */
export interface OpenChannelsOptions {
  /** Most at once. */
  readonly max: number;
  /** Most at once of one principal. */
  readonly maxPerPrincipal: number;
}

/** Every stream and socket that is open for a client: how many there may be, and how they end with the gateway. */
export class OpenChannels {
  readonly #options: OpenChannelsOptions;
  readonly #open = new Map<object, { readonly kind: string; readonly channel: OpenChannel | undefined }>();
  readonly #perPrincipal = new Map<string, number>();
  #draining = false;

  constructor(options: OpenChannelsOptions) {
    this.#options = options;
  }

  /**
   * Counts one in; the returned function counts it out again, once.
   *
   * @throws {GatewayError} `overloaded` when there are too many, or the gateway stops
   */
  add(kind: string, principal: Principal, channel?: OpenChannel): () => void {
    const { max, maxPerPrincipal } = this.#options;
    const own = this.#perPrincipal.get(principal.key) ?? 0;
    if (this.#draining && channel !== undefined) throw refusal("the gateway is stopping");
    if (this.#open.size >= max) throw refusal("too many streams are open");
    if (own >= maxPerPrincipal) throw refusal("too many streams of this user are open");
    const entry = {};
    this.#open.set(entry, { kind, channel });
    this.#perPrincipal.set(principal.key, own + 1);
    return () => {
      if (!this.#open.delete(entry)) return;
      const left = (this.#perPrincipal.get(principal.key) ?? 1) - 1;
      if (left > 0) this.#perPrincipal.set(principal.key, left);
      else this.#perPrincipal.delete(principal.key);
    };
  }

  /** How many are open, by kind. */
  counts(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { kind } of this.#open.values()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return counts;
  }

  /** Lets each end once its calls have; no more are taken. */
  drain(): void {
    this.#draining = true;
    for (const { channel } of [...this.#open.values()]) channel?.drain();
  }

  /** Ends all. */
  close(): void {
    this.drain();
    for (const { channel } of [...this.#open.values()]) channel?.close();
  }
}

function refusal(text: string): GatewayError {
  return new GatewayError("overloaded", text, { retryAfterMs: 1_000 });
}
