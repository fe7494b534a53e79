import type { ServerResponse } from "node:http";
import { encodeSse } from "@gatewright/mcp-bridge";
import type { EventLog } from "./event-log.ts";

/** What a stream of a session is made of. */
export interface EventStreamOptions {
  readonly number: number;
  /** Begins the id of every event. */
  readonly prefix?: string;
  readonly log: EventLog;
  /** Unsent bytes at which a reader is given up; it may come back and resume. */
  readonly maxBufferedBytes: number;
  /** The event that a client gets when the answer it asks for is no longer kept. */
  readonly lostAnswer?: () => string;
}

/**
 * One stream of events to a client, over as many connections as it takes: every event has an id and is kept in the
 * session's log, so that a client that lost its connection goes on behind the last event it saw.
 */
export class EventStream {
  readonly #options: EventStreamOptions;
  #sequence = 0;
  /** Sequence number of the last event that was written to a connection. */
  #written = 0;
  #sink: ServerResponse | undefined;
  #ended = false;

  constructor(options: EventStreamOptions) {
    this.#options = options;
  }

  /** Whether a connection is open. */
  get attached(): boolean {
    return this.#sink !== undefined;
  }

  /** Whether no more events will come. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Begins on a connection with an event that only says where to resume from: an empty one, which revisions before
   * 2025-11-25 do not know, or one without data, which every reader skips.
   */
  open(response: ServerResponse, emptyEvents: boolean): void {
    const id = this.#idOf(0);
    response.write(
      encodeSse(emptyEvents ? { id, retry: reconnectMs, data: "" } : { id, retry: reconnectMs }),
    );
    this.#attach(response);
  }

  /** Goes on over a connection: what follows `after`, or what nobody has been sent, then what is still to come. */
  resume(response: ServerResponse, after = this.#written): void {
    const { log, number, lostAnswer } = this.#options;
    this.#sink?.end();
    this.#sink = undefined;
    const events = log.after(number, after);
    for (const { sequence, data } of events) this.#write(response, sequence, data);
    if (!this.#ended) {
      this.#attach(response);
      return;
    }
    const missing = after < this.#sequence && events.at(-1)?.sequence !== this.#sequence;
    if (missing && lostAnswer !== undefined) this.#write(response, this.#sequence, lostAnswer());
    response.end();
  }

  /** Sends an event, or keeps it for the connection that resumes. */
  send(data: Uint8Array | string): void {
    this.#options.log.append(this.#options.number, ++this.#sequence, data);
    const sink = this.#sink;
    if (sink === undefined) return;
    // What is unread already counts, not this event: one may be longer than that.
    if (sink.writableLength > this.#options.maxBufferedBytes) sink.destroy();
    else this.#write(sink, this.#sequence, data);
  }

  /** Sends the last event, if there is one, and ends. */
  end(data?: Uint8Array | string): void {
    if (this.#ended) return;
    if (data !== undefined) this.send(data);
    this.#ended = true;
    this.#sink?.end();
    this.#sink = undefined;
  }

  /** Sends a comment, which every reader skips, while a connection is open. */
  keepAlive(): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    sink.write(":\n\n");
    if (sink.writableLength > this.#options.maxBufferedBytes) sink.destroy();
  }

  /** Ends the connection and asks the client to come back; the stream goes on. */
  detach(): void {
    this.#sink?.end(encodeSse({ retry: reconnectMs }));
    this.#sink = undefined;
  }

  #attach(response: ServerResponse): void {
    this.#sink = response;
    response.once("close", () => {
      if (this.#sink === response) this.#sink = undefined;
    });
  }

  #idOf(sequence: number): string {
    const { prefix = "", number } = this.#options;
    return `${prefix}${number}-${sequence}`;
  }

  #write(response: ServerResponse, sequence: number, data: Uint8Array | string): void {
    response.write(encodeSse({ event: "message", id: this.#idOf(sequence), data }));
    this.#written = sequence;
  }
}

/** After how long clients are asked to come back. */
const reconnectMs = 1_000;
