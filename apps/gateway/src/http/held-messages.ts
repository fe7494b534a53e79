import { localPrincipal } from "../auth/principal.ts";
import { GatewayError } from "../errors.ts";

/**
 * Length up to which a message is not counted by default, in bytes: as many short ones as there may be connections and calls do no
 * harm, and most messages are short.
 */
const defaultShortBytes = 16_384;

/** Bytes of long messages that may be under way at once. */
export interface HeldLimits {
  readonly messageBytes: number;
  readonly messageBytesPerUser: number;
}

/**
 * Counts the bytes of long messages from when they arrive until they have been served. A client that leaves does not end
 * its calls, so the number of its connections is no bound of what it makes the gateway hold. What is read and what is served
 * have the same limits, each of its own: an answer can be read while the calls that wait for it take all the room.
 */
export class HeldMessages {
  readonly reading: Ledger;
  readonly served: Ledger;
  /** Length up to which a message is not counted. */
  readonly shortBytes: number;

  constructor(limits: HeldLimits, shortBytes = defaultShortBytes) {
    this.reading = new Ledger(limits);
    this.served = new Ledger(limits);
    this.shortBytes = shortBytes;
  }

  /** Bytes that are counted now. */
  get bytes(): number {
    return this.reading.bytes + this.served.bytes;
  }

  /** A meter for one message of a user, known by the principal's key. */
  meter(user: string): MessageMeter {
    return new MessageMeter(this, user);
  }
}

/** Bytes by user. */
class Ledger {
  readonly #limits: HeldLimits;
  readonly #ofUsers = new Map<string, number>();
  #bytes = 0;

  constructor(limits: HeldLimits) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Changes what is counted for a message from `before` to `after` bytes; one message alone is always let in.
   *
   * @throws {GatewayError} `overloaded` when it would be too much, of this user or in all
   */
  change(user: string, before: number, after: number): void {
    const own = (this.#ofUsers.get(user) ?? 0) - before;
    const all = this.#bytes - before;
    if (after > before) {
      const { messageBytes, messageBytesPerUser } = this.#limits;
      // Without tokens nobody is told apart.
      const single = user !== localPrincipal.key;
      if (single && own > 0 && own + after > messageBytesPerUser) throw refusal("of yours");
      if (all > 0 && all + after > messageBytes) throw refusal("of all");
    }
    this.#bytes = all + after;
    if (own + after > 0) this.#ofUsers.set(user, own + after);
    else this.#ofUsers.delete(user);
  }
}

/** What one message takes. */
export class MessageMeter {
  readonly #held: HeldMessages;
  readonly #user: string;
  #bytes = 0;
  #kept = false;

  constructor(held: HeldMessages, user: string) {
    this.#held = held;
    this.#user = user;
  }

  /**
   * Says how long the message is so far.
   *
   * @throws {GatewayError} `overloaded`
   */
  read(bytes: number): void {
    if (bytes <= this.#held.shortBytes) return;
    this.#held.reading.change(this.#user, this.#bytes, bytes);
    this.#bytes = bytes;
  }

  /**
   * Asks for room to serve it, once it has been read. Not to be asked for what ends something else: answers, cancellations.
   *
   * @throws {GatewayError} `overloaded`
   */
  keep(): void {
    if (this.#bytes === 0) return;
    this.#held.served.change(this.#user, 0, this.#bytes);
    this.#held.reading.change(this.#user, this.#bytes, 0);
    this.#kept = true;
  }

  /** The message has been served, or refused. */
  release(): void {
    if (this.#bytes === 0) return;
    const ledger = this.#kept ? this.#held.served : this.#held.reading;
    ledger.change(this.#user, this.#bytes, 0);
    this.#bytes = 0;
  }
}

function refusal(whose: string): GatewayError {
  const text = `too many bytes of long messages ${whose} are under way`;
  return new GatewayError("overloaded", text, { retryAfterMs: 1_000 });
}
