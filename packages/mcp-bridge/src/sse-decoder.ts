import { type Collected, collect, collected } from "./byte-collector.ts";

/** One decoded event. */
export interface SseEvent {
  /** The `data:` lines joined by line feeds; empty for an event that only carries an id. */
  readonly data: Buffer;
  /** Event type, `message` unless named. */
  readonly event: string;
  /** The stream's last event id, this event's included. */
  readonly id: string | undefined;
}

/** Limits and callbacks of {@link SseDecoder}. */
export interface SseDecoderOptions {
  readonly onEvent: (event: SseEvent) => void;
  readonly onRetry?: (milliseconds: number) => void;
  /** Longest event in bytes. Default 16 MiB. */
  readonly maxEventBytes?: number;
}

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const SPACE = 0x20;
const NEWLINE = Buffer.from("\n");

/** Thrown when an event outgrows its limit. */
export class SseLimitError extends Error {
  override readonly name = "SseLimitError";
}

/**
 * Incremental decoder of `text/event-stream` (WHATWG HTML, "Interpreting an event stream"). Chunks may be cut
 * anywhere, also inside a character or between CR and LF; lines end in LF, CR or CRLF; a byte order mark is
 * skipped. Events without data but with an id (the first event of a 2025-11-25 answer) are reported
 * with empty data, because they carry the point to resume from; events with neither are dropped.
 */
export class SseDecoder {
  /** The last event id of the stream. */
  lastEventId: string | undefined;
  readonly #options: SseDecoderOptions;
  readonly #maxEventBytes: number;
  /** The line that is not complete yet: its only piece, or all of them. */
  #partial: Collected;
  #partialBytes = 0;
  /** The event's data so far: its only line, or all of them. */
  #data: Collected;
  #dataBytes = 0;
  #event = "";
  #idInEvent = false;
  #skipLf = false;
  #atStart = true;

  constructor(options: SseDecoderOptions) {
    this.#options = options;
    this.#maxEventBytes = options.maxEventBytes ?? 16 * 1024 * 1024;
  }

  /**
   * Takes the next chunk and reports the events it completes. The chunk is not copied unless an event spans
   * several.
   *
   * @throws {@link SseLimitError} when an event is too long
   */
  push(chunk: Buffer): void {
    let start = 0;
    if (this.#skipLf && chunk.length > 0) {
      if (chunk[0] === LF) start = 1;
      this.#skipLf = false;
    }
    let lf = -1;
    while (start < chunk.length) {
      // Looked for once a line feed, not once a line: lines that end in CR alone may be many before it.
      if (lf < start) lf = indexOrEnd(chunk, LF, start);
      const cr = chunk.subarray(start, lf).indexOf(CR);
      const end = cr < 0 ? lf : start + cr;
      if (end === chunk.length) {
        this.#keep(chunk.subarray(start));
        return;
      }
      const piece = chunk.subarray(start, end);
      start = end + 1;
      if (chunk[end] === CR) {
        if (start === chunk.length) this.#skipLf = true;
        else if (chunk[start] === LF) start++;
      }
      this.#line(this.#partialBytes === 0 ? piece : this.#join(piece));
    }
  }

  #keep(piece: Buffer): void {
    this.#grow(piece.length);
    this.#partial = collect(this.#partial, piece);
    this.#partialBytes += piece.length;
  }

  #join(piece: Buffer): Buffer {
    const line = collected(collect(this.#partial, piece));
    this.#partial = undefined;
    this.#partialBytes = 0;
    return line;
  }

  #grow(more: number): void {
    if (this.#partialBytes + this.#dataBytes + more <= this.#maxEventBytes) return;
    throw new SseLimitError(`An event is longer than ${this.#maxEventBytes} bytes.`);
  }

  #line(raw: Buffer): void {
    let line = raw;
    if (this.#atStart) {
      this.#atStart = false;
      if (line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf) line = line.subarray(3);
    }
    if (line.length === 0) {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(COLON);
    if (colon === 0) return;
    const name = (colon < 0 ? line : line.subarray(0, colon)).toString("latin1");
    let valueStart = colon < 0 ? line.length : colon + 1;
    if (line[valueStart] === SPACE) valueStart++;
    this.#field(name, line.subarray(valueStart));
  }

  #field(name: string, value: Buffer): void {
    switch (name) {
      case "data":
        this.#grow(value.length + 1);
        this.#data = this.#data === undefined ? value : collect(collect(this.#data, NEWLINE), value);
        this.#dataBytes += value.length + 1;
        break;
      case "event":
        this.#event = value.toString("utf8");
        break;
      case "id":
        if (value.includes(0)) break;
        this.lastEventId = value.toString("utf8");
        this.#idInEvent = true;
        break;
      case "retry": {
        const text = value.toString("latin1");
        if (/^\d{1,15}$/.test(text)) this.#options.onRetry?.(Number(text));
        break;
      }
      default:
    }
  }

  #dispatch(): void {
    const data = this.#data;
    const event = this.#event;
    const withId = this.#idInEvent;
    this.#data = undefined;
    this.#dataBytes = 0;
    this.#event = "";
    this.#idInEvent = false;
    if (data === undefined && !withId) return;
    this.#options.onEvent({
      data: collected(data),
      event: event === "" ? "message" : event,
      id: this.lastEventId,
    });
  }
}

function indexOrEnd(chunk: Buffer, byte: number, from: number): number {
  const at = chunk.indexOf(byte, from);
  return at < 0 ? chunk.length : at;
}
