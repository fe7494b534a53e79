import type { ServerResponse } from "node:http";
import { encodeSse } from "@gatewright/mcp-bridge";
import type { Channel, ChannelEnd } from "./channel.ts";

/** After how long a client is asked to come back. */
const reconnectMs = 1_000;

/** The event stream of the transport of 2024-11-05: messages go out as `message` events. */
export class SseChannel implements Channel {
  readonly #response: ServerResponse;
  readonly #maxBufferedBytes: number;

  /** Begins the stream; its first event names the URI that takes the client's messages. */
  constructor(response: ServerResponse, endpoint: string, maxBufferedBytes: number) {
    this.#response = response;
    this.#maxBufferedBytes = maxBufferedBytes;
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "cache-control": "no-cache, no-transform",
      "x-accel-buffering": "no",
    });
    response.write(encodeSse({ event: "endpoint", data: endpoint }));
  }

  send(message: Uint8Array | string): boolean {
    const response = this.#response;
    if (response.writableEnded || response.destroyed) return false;
    // What is unread already counts, not the message itself: one may be longer than that.
    if (response.writableLength > this.#maxBufferedBytes) {
      this.end("too_slow");
      return false;
    }
    response.write(encodeSse({ event: "message", data: message }));
    return true;
  }

  end(why: ChannelEnd): void {
    if (why === "too_slow") this.#response.destroy();
    else if (!this.#response.writableEnded) this.#response.end(encodeSse({ retry: reconnectMs }));
  }
}
