import type { Authenticator } from "../auth/authenticator.ts";
import type { Principal } from "../auth/principal.ts";
import { GatewayError } from "../errors.ts";

/** Something that stays open for one client. */
export interface OpenChannel {
  /** Ends it as soon as nothing is in flight, and takes nothing new. */
  readonly drain?: () => void;
  /** Ends it now. */
  readonly close?: () => void;
  /** Ends it because the client's token has run out, or is no longer taken. Called again until it has ended. */
  readonly revoke: () => void;
  /** The `Authorization` header of the client, where it can be looked at again. */
  readonly authorization?: string | undefined;
}

/** How often it is looked whether tokens have run out, and how long a client has to notice by itself. */
const expiryCheckMs = 1_000;

/** Bounds of {@link OpenChannels}. */
export interface OpenChannelsOptions {
  /** Most at once. */
  readonly max: number;
  /** Most at once of one principal. */
  readonly maxPerPrincipal: number;
}

interface Entry {
  readonly kind: string;
  readonly principal: Principal;
  readonly channel: OpenChannel;
}

/** A channel that another replica counts. */
type WatchedEntry = Pick<Entry, "principal"> & {
  readonly channel: Pick<OpenChannel, "revoke" | "authorization">;
};

/** Every stream and socket that is open for a client: how many there may be, and how they end with the gateway. */
export class OpenChannels {
  readonly #options: OpenChannelsOptions;
  readonly #open = new Map<object, Entry>();
  readonly #watched = new Set<WatchedEntry>();
  readonly #perPrincipal = new Map<string, number>();
  readonly #expiry: NodeJS.Timeout;
  #draining = false;

  constructor(options: OpenChannelsOptions) {
    this.#options = options;
    this.#expiry = setInterval(() => this.#endExpired(), expiryCheckMs).unref();
  }

  /**
   * Counts one in; the returned function counts it out again, once.
   *
   * @throws {GatewayError} `overloaded` when there are too many, or the gateway stops
   */
  add(kind: string, principal: Principal, channel: OpenChannel): () => void {
    const { max, maxPerPrincipal } = this.#options;
    const own = this.#perPrincipal.get(principal.key) ?? 0;
    if (this.#draining && channel.drain !== undefined) throw refusal("the gateway is stopping");
    if (this.#open.size >= max) throw refusal("too many streams are open");
    if (own >= maxPerPrincipal) throw refusal("too many streams of this user are open");
    const entry = {};
    this.#open.set(entry, { kind, principal, channel });
    this.#perPrincipal.set(principal.key, own + 1);
    return () => {
      if (!this.#open.delete(entry)) return;
      const left = (this.#perPrincipal.get(principal.key) ?? 1) - 1;
      if (left > 0) this.#perPrincipal.set(principal.key, left);
      else this.#perPrincipal.delete(principal.key);
    };
  }

  /**
   * Ends with its token what another replica serves, and counts, by way of this one; only the replica that was asked knows
   * the token. Until the returned function is called.
   */
  watch(principal: Principal, channel: WatchedEntry["channel"]): () => void {
    const entry = { principal, channel };
    this.#watched.add(entry);
    return () => void this.#watched.delete(entry);
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
    for (const { channel } of [...this.#open.values()]) channel.drain?.();
  }

  /** Ends all. */
  close(): void {
    clearInterval(this.#expiry);
    this.drain();
    for (const { channel } of [...this.#open.values()]) channel.close?.();
  }

  /** Ends those whose token is no longer taken: the keys, or what is asked of a token, are others now. Never rejects. */
  async checkTokens(authenticator: Authenticator): Promise<void> {
    for (const { principal, channel } of this.#all()) {
      const { authorization, revoke } = channel;
      if (principal.expiresAtMs === undefined || authorization === undefined) continue;
      try {
        const { key, scopes } = await authenticator.authenticate(authorization);
        if (key !== principal.key || !scopes.has("mcp")) revoke();
      } catch (error) {
        // An identity provider that cannot be asked now has not refused anybody.
        if (GatewayError.is(error) && error.code === "unauthorized") revoke();
      }
    }
  }

  #all(): readonly WatchedEntry[] {
    return [...this.#open.values(), ...this.#watched];
  }

  #endExpired(): void {
    const before = Date.now() - expiryCheckMs;
    for (const { principal, channel } of this.#all()) {
      if (principal.expiresAtMs !== undefined && principal.expiresAtMs <= before) channel.revoke();
    }
  }
}

function refusal(text: string): GatewayError {
  return new GatewayError("overloaded", text, { retryAfterMs: 1_000 });
}
