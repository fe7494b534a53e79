import { localPrincipal } from "../auth/principal.ts";
import { GatewayError } from "../errors.ts";

/**
 * Length up to which a message is not counted, in bytes: as many short ones as there may be connections and calls do no
 * harm, and most messages are short.
 */
const shortBytes = 16_384;

/** While they are read, messages may take so many times what they may when they are served: an answer is let through then. */
const readingFactor = 2;

/** Bytes of long messages that may be under way at once. */
export interface HeldLimits {
  readonly messageBytes: number;
  readonly messageBytesPerUser: number;
}

/**
 * Counts the bytes of long messages from when they arrive until they have been served. A client that leaves does not end
 * its calls, so the number of its connections is no bound of what it makes the gateway hold.
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

  /** A meter for one message of a user, known by the principal's key. */
  meter(user: string): MessageMeter {
    return new MessageMeter(this, user);
  }

  /** Counts bytes in, or out where negative. */
  add(user: string, bytes: number): void {
    this.#bytes += bytes;
    const own = (this.#ofUsers.get(user) ?? 0) + bytes;
    if (own > 0) this.#ofUsers.set(user, own);
    else this.#ofUsers.delete(user);
  }

  /**
   * Checks whether there is room for a message of which `counted` bytes are counted; one is always let in.
   *
   * @throws {GatewayError} `overloaded` when there is too much, in all or of this user
   */
  check(user: string, bytes: number, counted: number, factor = 1): void {
    const { messageBytes, messageBytesPerUser } = this.#limits;
    const others = this.#bytes - counted;
    const ofUser = (this.#ofUsers.get(user) ?? 0) - counted;
    // Without tokens nobody is told apart.
    const single = user !== localPrincipal.key;
    if (single && ofUser > 0 && ofUser + bytes > factor * messageBytesPerUser) throw refusal("of yours");
    if (others > 0 && others + bytes > factor * messageBytes) throw refusal("of all");
  }
}

/** What one message takes. */
export class MessageMeter {
  readonly #held: HeldMessages;
  readonly #user: string;
  #counted = 0;

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
    if (bytes <= shortBytes) return;
    this.#held.check(this.#user, bytes, this.#counted, readingFactor);
    this.#held.add(this.#user, bytes - this.#counted);
    this.#counted = bytes;
  }

  /**
   * Asks for room to serve it. Not to be asked for what ends something else: answers and cancellations.
   *
   * @throws {GatewayError} `overloaded`
   */
  keep(): void {
    if (this.#counted > 0) this.#held.check(this.#user, this.#counted, this.#counted);
  }

  /** The message has been served, or refused. */
  release(): void {
    if (this.#counted === 0) return;
    this.#held.add(this.#user, -this.#counted);
    this.#counted = 0;
  }
}

function refusal(whose: string): GatewayError {
  const text = `too many bytes of long messages ${whose} are under way`;
  return new GatewayError("overloaded", text, { retryAfterMs: 1_000 });
}
