import type { ServerResponse } from "node:http";
import { encodeSse, encodeSseComment, type Span, splice } from "@gatewright/mcp-bridge";
import type { EventStream } from "../downstream/event-stream.ts";
import type { Reply } from "../mcp/reply.ts";
import { failureAnswer } from "./failure-answer.ts";
import { writeHead } from "./sendable-headers.ts";
import type { SlowAnswer, StreamStarts } from "./stream-starts.ts";

/** Longest answer that is written as text. */
const maxTextBytes = 12_288;

/** How a reply may go out. */
export interface ReplyOptions {
  /** Whether the client takes an event stream. */
  readonly streamable: boolean;
  /** Unsent bytes at which a stream is given up. */
  readonly maxBufferedBytes: number;
  /** How often a stream on which nothing happens shows that it lives; never by default. */
  readonly keepAliveMs?: number;
  /** Begins the streams of answers in a session that take long. */
  readonly starts?: StreamStarts;
}

/**
 * The answer to one posted request: JSON when the answer comes first, an event stream from the first message
 * that precedes it on.
 */
export class RpcReply implements Reply, SlowAnswer {
  dueAt = 0;
  previous: SlowAnswer | undefined = undefined;
  next: SlowAnswer | undefined = undefined;
  readonly #response: ServerResponse;
  readonly #options: ReplyOptions;
  /** Names and values in turn, as node takes them. */
  readonly #headers: string[] = [];
  #status = 0;
  #openEvents: ((response: ServerResponse) => EventStream) | undefined;
  #events: EventStream | undefined;
  #alive: NodeJS.Timeout | undefined;

  constructor(response: ServerResponse, options: ReplyOptions) {
    this.#response = response;
    this.#options = options;
  }

  /** Adds a response header; without effect once a stream has begun. */
  setHeader(name: string, value: string): void {
    const at = this.#indexOf(name);
    if (at < 0) this.#headers.push(name, value);
    else this.#headers[at + 1] = value;
  }

  /** HTTP status that was sent, 0 before. */
  get status(): number {
    return this.#status;
  }

  /** Whether messages may precede the answer. */
  get streamable(): boolean {
    return this.#options.streamable && !this.#response.writableEnded;
  }

  /**
   * Makes the event stream one that the client can resume; it is begun after a while without an answer, so that a
   * client that loses its connection then knows where to go on. `open` writes its first event.
   */
  resumable(open: (response: ServerResponse) => EventStream): void {
    if (!this.streamable) return;
    this.#openEvents = open;
    this.#options.starts?.add(this);
  }

  /** Sends a message before the answer; dropped when the client takes plain JSON only. */
  message(bytes: Uint8Array): boolean {
    if (this.#events !== undefined) {
      this.#events.send(bytes);
      return true;
    }
    if (!this.streamable) return false;
    this.openStream();
    if (this.#events !== undefined) return this.message(bytes);
    this.#keepAlive();
    // What is unread already counts, not this message: one may be longer than that.
    if (this.#response.writableLength > this.#options.maxBufferedBytes) this.#response.destroy();
    else this.#response.write(encodeSse({ event: "message", data: bytes }));
    return true;
  }

  /** Sends the answer and ends. */
  answer(body: Uint8Array | string, status = 200): void {
    const response = this.#response;
    this.#settle();
    if (this.#events !== undefined) {
      this.#events.end(body);
      return;
    }
    if (response.writableEnded || response.destroyed) return;
    if (this.#status !== 0) {
      response.end(encodeSse({ event: "message", data: body }));
      return;
    }
    this.#status = status;
    this.#writeHead(status, typeof body === "string" ? Buffer.byteLength(body) : body.length);
    response.end(body);
  }

  /**
   * Sends a message's bytes as the answer, the span of its id replaced. What goes before the id goes out together with the
   * headers, as text in which a character is a byte; so does the rest of a short message, which the socket then takes in
   * one piece. The rest of a long one goes out as it came, without a copy.
   */
  relay(bytes: Buffer, id: Span, idText: string, status = 200): void {
    if (this.#status !== 0 || id.start > maxTextBytes || !isAscii(idText)) {
      this.answer(splice(bytes, [{ ...id, text: idText }]), status);
      return;
    }
    this.#settle();
    const response = this.#response;
    if (response.writableEnded || response.destroyed) return;
    this.#status = status;
    this.#writeHead(status, bytes.length - (id.end - id.start) + idText.length);
    const front = bytes.toString("latin1", 0, id.start) + idText;
    if (bytes.length <= maxTextBytes) {
      response.end(front + bytes.toString("latin1", id.end), "latin1");
      return;
    }
    response.cork();
    response.write(front, "latin1");
    response.end(bytes.subarray(id.end));
  }

  /** Acknowledges a message that has no answer. */
  accepted(): void {
    this.setHeader("content-length", "0");
    this.done(202);
  }

  /** Ends without a body. */
  done(status: number): void {
    this.#status = status;
    writeHead(this.#response, status, this.#headers);
    this.#response.end();
  }

  /** Ends without an answer: the call was cancelled, and a cancelled call gets none. */
  abandon(): void {
    this.#settle();
    this.#openEvents = undefined;
    if (this.#events !== undefined) {
      this.#events.end();
      return;
    }
    if (this.#response.writableEnded || this.#response.destroyed) return;
    this.openStream();
    this.#response.end();
  }

  /** Sends a failure as a JSON-RPC error that carries the request's id. */
  fail(error: unknown, idText: string, requestId: string): void {
    const { body, status, headers, retryAfter } = failureAnswer(error, idText, requestId);
    for (const [name, value] of Object.entries(headers)) this.setHeader(name, value);
    if (retryAfter !== undefined && this.#indexOf("retry-after") < 0) {
      this.setHeader("retry-after", retryAfter);
    }
    this.answer(body, status);
  }

  /** Begins an event stream, unless one has begun. */
  openStream(): void {
    if (this.#status !== 0) return;
    this.#status = 200;
    this.setHeader("content-type", "text/event-stream");
    this.setHeader("cache-control", "no-cache, no-transform");
    this.setHeader("x-accel-buffering", "no");
    writeHead(this.#response, 200, this.#headers);
    this.#response.flushHeaders();
    this.#settle();
    if (!this.#response.destroyed) this.#events = this.#openEvents?.(this.#response);
  }

  #writeHead(status: number, length: number): void {
    this.setHeader("content-type", "application/json");
    this.setHeader("content-length", String(length));
    writeHead(this.#response, status, this.#headers);
  }

  #settle(): void {
    if (this.#openEvents !== undefined) this.#options.starts?.delete(this);
  }

  /** Shows that a stream lives on which nothing happens; those of sessions are looked after there. */
  #keepAlive(): void {
    const { keepAliveMs } = this.#options;
    if (this.#alive !== undefined || keepAliveMs === undefined) return;
    const response = this.#response;
    const alive = setInterval(() => {
      if (!response.writableEnded) response.write(encodeSseComment("alive"));
    }, keepAliveMs).unref();
    this.#alive = alive;
    response.once("close", () => clearInterval(alive));
  }

  #indexOf(name: string): number {
    const headers = this.#headers;
    for (let index = 0; index < headers.length; index += 2) {
      if (isSameName(headers[index] as string, name)) return index;
    }
    return -1;
  }
}

function isSameName(left: string, right: string): boolean {
  return left.length === right.length && (left === right || left.toLowerCase() === right.toLowerCase());
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0x7e) return false;
  return true;
}
