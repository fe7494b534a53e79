/** Bounds of what is kept for clients that lose their connection. */
export interface EventLogLimits {
  /** Events of one session. */
  readonly maxEvents: number;
  /** Bytes of one session's events. */
  readonly maxBytes: number;
}

/** What the logs of all sessions hold together. */
export interface EventLogTotal {
  bytes: number;
  readonly maxBytes: number;
}

/** One event of one stream. */
export interface LoggedEvent {
  readonly stream: number;
  /** Counts the stream's events from 1. */
  readonly sequence: number;
  readonly data: Buffer;
  /** Monotonic milliseconds. */
  readonly atMs: number;
}

/** The last events of a session, over all its streams. The oldest go first, whichever bound is reached. */
export class EventLog {
  readonly #limits: EventLogLimits;
  readonly #total: EventLogTotal;
  readonly #now: () => number;
  readonly #events: LoggedEvent[] = [];
  #bytes = 0;
  #closed = false;

  constructor(limits: EventLogLimits, total: EventLogTotal, now: () => number) {
    this.#limits = limits;
    this.#total = total;
    this.#now = now;
  }

  /** Keeps an event, a copy of its data; nothing once the log is closed. */
  append(stream: number, sequence: number, data: Uint8Array | string): void {
    if (this.#closed) return;
    const event = { stream, sequence, data: Buffer.from(data as Uint8Array), atMs: this.#now() };
    this.#events.push(event);
    this.#count(event.data.length);
    const { maxEvents, maxBytes } = this.#limits;
    const total = this.#total;
    while (this.#events.length > maxEvents || this.#bytes > maxBytes || total.bytes > total.maxBytes) {
      if (!this.#dropOldest()) return;
    }
  }

  /** The events of a stream that follow a sequence number, as far as they are kept. */
  after(stream: number, sequence: number): LoggedEvent[] {
    return this.#events.filter((event) => event.stream === stream && event.sequence > sequence);
  }

  /** Drops what is older. */
  expire(beforeMs: number): void {
    let first = this.#events[0];
    while (first !== undefined && first.atMs < beforeMs) {
      this.#dropOldest();
      first = this.#events[0];
    }
  }

  /** Drops everything, and keeps nothing from now on. */
  close(): void {
    this.#closed = true;
    this.#count(-this.#bytes);
    this.#events.length = 0;
  }

  #dropOldest(): boolean {
    const oldest = this.#events.shift();
    if (oldest === undefined) return false;
    this.#count(-oldest.data.length);
    return true;
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#total.bytes += bytes;
  }
}
