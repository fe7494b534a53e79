import { GatewayError } from "../errors.ts";

/** Notifications that an upstream has not taken yet: each takes one of the connections to it. */
const maxUnderWay = 16;
/** Notifications that wait behind those. */
const maxWaiting = 256;

/** A notification as an upstream takes it. */
export interface OutgoingNotification {
  readonly method: string;
  /** Raw JSON. */
  readonly params?: string | undefined;
}

/** What takes notifications. */
export interface NotificationTaker {
  notify(notification: OutgoingNotification): Promise<void>;
}

interface Waiting {
  readonly notification: OutgoingNotification;
  readonly begin: () => void;
}

/** The notifications of one client to one upstream session. Some are under way, more wait for their turn. */
export class Outbox {
  readonly #upstream: NotificationTaker;
  readonly #waiting: Waiting[] = [];
  #underWay = 0;

  constructor(upstream: NotificationTaker) {
    this.#upstream = upstream;
  }

  /**
   * Passes one on; resolves when the upstream has taken it, and when it cannot. One that waits already need not be sent twice
   * where there is no room.
   *
   * @throws {GatewayError} `overloaded` when too many wait
   */
  async notify(notification: OutgoingNotification): Promise<void> {
    if (this.#underWay >= maxUnderWay) {
      if (this.#waiting.length >= maxWaiting) {
        if (this.#waiting.some((other) => isSame(other.notification, notification))) return;
        const text = "an upstream has not taken earlier notifications of this session yet";
        throw new GatewayError("overloaded", text, { retryAfterMs: 1_000 });
      }
      await new Promise<void>((begin) => this.#waiting.push({ notification, begin }));
    } else this.#underWay++;
    try {
      await this.#upstream.notify(notification);
    } catch {
      // A notification has no answer; what became of the upstream is told to the calls.
    } finally {
      const next = this.#waiting.shift();
      // Its place goes over.
      if (next === undefined) this.#underWay--;
      else next.begin();
    }
  }
}

function isSame(left: OutgoingNotification, right: OutgoingNotification): boolean {
  return left.method === right.method && left.params === right.params;
}
