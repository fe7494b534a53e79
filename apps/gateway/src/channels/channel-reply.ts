import { type Span, splice } from "@gatewright/mcp-bridge";
import type { Reply } from "../mcp/reply.ts";
import type { Channel } from "./channel.ts";

/** The answer to a request that came over a channel: one message among others, without status and headers. */
export class ChannelReply implements Reply {
  readonly streamable = true;
  readonly #channel: Channel;
  #done = false;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  setHeader(): void {
    // A message has no headers; what a refusal says by them is in its `data` too.
  }

  message(bytes: Uint8Array): boolean {
    return !this.#done && this.#channel.send(bytes);
  }

  answer(body: Uint8Array | string): void {
    if (this.#done) return;
    this.#done = true;
    this.#channel.send(body);
  }

  relay(bytes: Buffer, id: Span, idText: string): void {
    this.answer(splice(bytes, [{ ...id, text: idText }]));
  }

  abandon(): void {
    this.#done = true;
  }
}
