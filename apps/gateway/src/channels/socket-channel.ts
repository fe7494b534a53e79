import { isUtf8 } from "node:buffer";
import type { WebSocket } from "ws";
import type { Channel, ChannelEnd } from "./channel.ts";

/** Close codes (RFC 6455, 7.4.1) and the words that go with them. */
const closes: Readonly<Record<ChannelEnd, readonly [code: number, reason: string]>> = {
  ended: [1000, "the session has ended"],
  going_away: [1001, "the gateway is stopping"],
  unauthorized: [1008, "the token is no longer valid"],
  too_slow: [1013, "too much was left unread"],
};

/** A WebSocket as a channel: one message a frame. */
export class SocketChannel implements Channel {
  readonly #socket: WebSocket;
  readonly #maxBufferedBytes: number;
  #ended = false;
  #heard = true;

  constructor(socket: WebSocket, maxBufferedBytes: number) {
    this.#socket = socket;
    this.#maxBufferedBytes = maxBufferedBytes;
  }

  send(message: Uint8Array | string): boolean {
    if (this.#ended || this.#socket.readyState !== this.#socket.OPEN) return false;
    // What is unread already counts, not the message itself: one may be longer than that.
    if (this.#socket.bufferedAmount > this.#maxBufferedBytes) {
      this.end("too_slow");
      return false;
    }
    this.#socket.send(isText(message) ? message : replaced(message), { binary: false });
    return true;
  }

  end(why: ChannelEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket.close(...closes[why]);
  }

  /** Notes that the client is there. */
  heard(): void {
    this.#heard = true;
  }

  /** Asks for a sign of life; without one since the last time the socket is cut. */
  ping(): void {
    if (!this.#heard) this.#socket.terminate();
    else if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping();
    this.#heard = false;
  }
}

/** A message with U+FFFD for what is no UTF-8, as every decoder of text reads it. */
function replaced(message: Uint8Array | string): string {
  return typeof message === "string" ? message : Buffer.from(message).toString("utf8");
}

/** Whether a text frame may carry it; what is not UTF-8 would have the client end the whole connection (RFC 6455, 8.1). */
function isText(message: Uint8Array | string): boolean {
  return typeof message === "string" || isUtf8(message);
}
