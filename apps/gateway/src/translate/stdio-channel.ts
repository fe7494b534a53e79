import type { Writable } from "node:stream";
import type { Channel } from "../channels/channel.ts";

/** Standard output as a channel: one message a line. */
export class StdioChannel implements Channel {
  readonly #output: Writable;
  readonly #maxBufferedBytes: number;
  readonly #ended = Promise.withResolvers<void>();
  #open = true;

  constructor(output: Writable, maxBufferedBytes: number) {
    this.#output = output;
    this.#maxBufferedBytes = maxBufferedBytes;
    output.once("error", () => this.end());
  }

  /** Resolves when nothing more is sent. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  send(message: Uint8Array | string): boolean {
    if (!this.#open) return false;
    // What is unread already counts, not the message itself: one may be longer than that.
    if (this.#output.writableLength > this.#maxBufferedBytes) {
      this.end();
      return false;
    }
    const text = typeof message === "string" ? message : Buffer.from(message).toString("utf8");
    // Line breaks in valid JSON are white space between tokens.
    this.#output.write(`${text.replaceAll(/[\r\n]/g, " ")}\n`);
    return true;
  }

  end(): void {
    this.#open = false;
    this.#ended.resolve();
  }
}
