import type { NotificationMessage } from "../message.ts";

/** Most notifications that are kept for one call. */
const MAX_MESSAGES = 64;
/** Most bytes of them. */
const MAX_BYTES = 64 * 1024;

/** Notifications of a call that nobody listens to at the moment; bounded, the newest stay. */
export class KeptMessages {
  #messages: NotificationMessage[] = [];
  #bytes = 0;

  /** Keeps a message; lets the oldest go where there are too many. */
  keep(message: NotificationMessage): void {
    this.#messages.push(message);
    this.#bytes += message.bytes.length;
    while (this.#messages.length > MAX_MESSAGES || this.#bytes > MAX_BYTES) {
      this.#bytes -= this.#messages.shift()?.bytes.length ?? 0;
    }
  }

  /** Hands over what was kept, oldest first. */
  take(): readonly NotificationMessage[] {
    const messages = this.#messages;
    this.#messages = [];
    this.#bytes = 0;
    return messages;
  }
}
