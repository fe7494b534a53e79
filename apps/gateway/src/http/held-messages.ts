import { localPrincipal } from "../auth/principal.ts";
import { GatewayError } from "../errors.ts";

/**
 * Length up to which a message is not counted, in bytes: as many short ones as there may be connections and calls do no
 * harm, and most messages are short.
 */
const shortBytes = 16_384;

/** Bytes of long messages that may be under way at once. */
export interface HeldLimits {
  readonly messageBytes: number;
  readonly messageBytesPerUser: number;
}

/**
 * Counts the bytes of long messages from the time that they are read until they have been served. A client that leaves
 * does not end its calls, so the number of its connections is no bound of what it makes the gateway hold.
 */
export class HeldMessages {
  readonly #limits: HeldLimits;
  readonly #ofUsers = new Map<string, number>();
  #bytes = 0;

  constructor(limits: HeldLimits) {
    this.#limits = limits;
  }

  /** Bytes that are counted now. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Counts a message; the function that comes back is called once, when it has been served. One message is always let in.
   *
   * @param user the principal's key
   * @throws {GatewayError} `overloaded` when there is too much, in all or of this user
   */
  hold(user: string, bytes: number): () => void {
    // Also where nobody said how long it is.
    if (!(bytes > shortBytes)) return nothing;
    const own = this.#ofUsers.get(user) ?? 0;
    const { messageBytes, messageBytesPerUser } = this.#limits;
    // Without tokens nobody is told apart.
    const single = user !== localPrincipal.key;
    if (single && own > 0 && own + bytes > messageBytesPerUser) throw refusal("of yours");
    if (this.#bytes > 0 && this.#bytes + bytes > messageBytes) throw refusal("of all");
    this.#bytes += bytes;
    this.#ofUsers.set(user, own + bytes);
    return () => {
      this.#bytes -= bytes;
      const left = (this.#ofUsers.get(user) ?? 0) - bytes;
      if (left > 0) this.#ofUsers.set(user, left);
      else this.#ofUsers.delete(user);
    };
  }
}

function refusal(whose: string): GatewayError {
  const text = `too many bytes of long messages ${whose} are under way`;
  return new GatewayError("overloaded", text, { retryAfterMs: 1_000 });
}

function nothing(): void {}
