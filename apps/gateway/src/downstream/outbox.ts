import { GatewayError } from "../errors.ts";
import { HeldMessages } from "../http/held-messages.ts";
import { Turns } from "./turns.ts";

/** Notifications of one client that may wait for one upstream session. */
const maxWaiting = 256;
/** Of all clients together, those that one upstream has not taken yet: calls need the connections to it, too. */
const maxUnderWay = 16;
/** After this time an upstream is not waited for any longer. */
const takenWithinMs = 10_000;
/** What waits, in bytes; of one user, and in all. */
const heldLimits = { messageBytes: 16_777_216, messageBytesPerUser: 2_097_152 };
/** About what a notification takes beside its text. */
const ownBytes = 256;

/** A notification as an upstream takes it. */
export interface OutgoingNotification {
  readonly method: string;
  /** Raw JSON. */
  readonly params?: string | undefined;
}

/** What takes notifications. */
export interface NotificationTaker {
  notify(notification: OutgoingNotification, options?: { readonly signal?: AbortSignal }): Promise<void>;
}

/** What the outboxes of a gateway share. */
export class Outboxes {
  readonly held = new HeldMessages(heldLimits, 0);
  readonly #turns = new Map<string, Turns>();

  /** Makes one, for what a user's client tells a session of an upstream. */
  create(user: string, upstreamId: string, upstream: NotificationTaker): Outbox {
    return new Outbox(
      upstream,
      () => this.#turnsOf(upstreamId),
      () => this.held.meter(user),
    );
  }

  #turnsOf(upstreamId: string): Turns {
    const known = this.#turns.get(upstreamId);
    if (known !== undefined) return known;
    const made = new Turns(maxUnderWay, () => this.#turns.delete(upstreamId));
    this.#turns.set(upstreamId, made);
    return made;
  }
}

interface Waiting {
  readonly notification: OutgoingNotification;
  readonly taken: Promise<void>;
  readonly over: () => void;
}

/** The notifications of one client to one session of an upstream: one after the other, in order. */
export class Outbox {
  readonly #upstream: NotificationTaker;
  readonly #turns: () => Turns;
  readonly #meter: () => ReturnType<HeldMessages["meter"]>;
  readonly #waiting: Waiting[] = [];
  #sending = false;

  constructor(
    upstream: NotificationTaker,
    turns: () => Turns,
    meter: () => ReturnType<HeldMessages["meter"]>,
  ) {
    this.#upstream = upstream;
    this.#turns = turns;
    this.#meter = meter;
  }

  /**
   * Passes one on when its turn comes; resolves when the upstream has taken it, and when it does not. Where there is no
   * room, an equal one that waits stands for it.
   *
   * @throws {GatewayError} `overloaded`, at once, when too many wait
   */
  notify(notification: OutgoingNotification): Promise<void> {
    if (this.#waiting.length >= maxWaiting) {
      const equal = this.#waiting.find((other) => isSame(other.notification, notification));
      if (equal !== undefined) return equal.taken;
      const text = "an upstream has not taken earlier notifications of this session yet";
      throw new GatewayError("overloaded", text, { retryAfterMs: 1_000 });
    }
    const meter = this.#meter();
    meter.read(ownBytes + (notification.params?.length ?? 0));
    const { promise: taken, resolve } = Promise.withResolvers<void>();
    const over = () => {
      meter.release();
      resolve();
    };
    this.#waiting.push({ notification, taken, over });
    if (!this.#sending) void this.#send();
    return taken;
  }

  async #send(): Promise<void> {
    this.#sending = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const giveBack = await this.#turns().take();
      try {
        await this.#upstream.notify(next.notification, { signal: AbortSignal.timeout(takenWithinMs) });
      } catch {
        // A notification has no answer; what became of the upstream is told to the calls.
      } finally {
        giveBack();
        next.over();
      }
    }
    this.#sending = false;
  }
}

function isSame(left: OutgoingNotification, right: OutgoingNotification): boolean {
  return left.method === right.method && left.params === right.params;
}
