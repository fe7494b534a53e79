import type { SingleMessage } from "../message.ts";
import { SseDecoder } from "../sse-decoder.ts";
import { pause } from "./abort.ts";
import { parseUpstream } from "./http-call.ts";
import type { HttpConnection } from "./http-connection.ts";
import { mediaType } from "./http-status.ts";

/** Options of {@link GetStream}. */
export interface GetStreamOptions {
  readonly headers: readonly string[];
  readonly maxEventBytes: number;
  readonly signal: AbortSignal;
  readonly onMessage: (message: SingleMessage) => void;
  /** The stream broke and is open again, not behind the last event. */
  readonly onGap: (() => void) | undefined;
  /** The server, which had offered the stream, answered 404: the session is gone. */
  readonly onLost: () => void;
}

/** Refusals that may pass although they are the client's fault: too slow, another stream still open, too many. */
const PASSING: ReadonlySet<number> = new Set([408, 409, 429]);
/** Refusals that stay, even of a stream that was open before. */
const LASTING: ReadonlySet<number> = new Set([404, 405]);

const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;

/**
 * The stream of a legacy session on which the server sends messages of its own (GET). Reopened behind the last
 * event id with growing pauses while the session lives, also where the server refuses it for a time (409 while it still
 * holds the stream that broke, 401 while credentials change); given up where the server offers none (405).
 */
export class GetStream {
  readonly #connection: HttpConnection;
  readonly #options: GetStreamOptions;
  #lastEventId: string | undefined;
  #serverRetryMs: number | undefined;
  #failures = 0;
  #everOpen = false;
  #settle!: () => void;
  /** Settles when the stream is open for the first time, or is known not to open now. */
  readonly settled = new Promise<void>((resolve) => {
    this.#settle = resolve;
  });

  constructor(connection: HttpConnection, options: GetStreamOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  /** Starts in the background. */
  start(): void {
    this.#run().catch(() => undefined);
  }

  async #run(): Promise<void> {
    const { signal } = this.#options;
    while (!signal.aborted) {
      if (!(await this.#once())) return;
      const backoff = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.max(0, this.#failures - 1));
      await pause(this.#failures === 0 ? (this.#serverRetryMs ?? FIRST_RETRY_MS) : backoff, signal);
    }
  }

  /** One connection; false when another one makes no sense. */
  async #once(): Promise<boolean> {
    const { headers, signal, maxEventBytes, onLost, onGap } = this.#options;
    const id = this.#lastEventId;
    const exchange = this.#connection.send(
      {
        method: "GET",
        headers: id === undefined ? headers : [...headers, "last-event-id", id],
        longLived: true,
      },
      {
        signal,
        timeoutMs: 0,
        maxBytes: 64 * 1024,
        onHead: (status, head) => {
          if (status !== 200 || mediaType(head) !== "text/event-stream") return undefined;
          this.#failures = 0;
          if (this.#everOpen && id === undefined) onGap?.();
          this.#everOpen = true;
          this.#settle();
          return this.#reader(maxEventBytes);
        },
      },
    );
    try {
      const { status } = await exchange.answer;
      // A first 404 is a server without such a stream; a later one means that it forgot the session.
      if (status === 404 && this.#everOpen) onLost();
      if (this.#isRefused(status)) return false;
      if (status !== 200) this.#failures++;
    } catch {
      this.#failures++;
    } finally {
      this.#settle();
    }
    return true;
  }

  /** Whether the server will not open the stream later either. */
  #isRefused(status: number): boolean {
    if (status < 400 || status >= 500 || PASSING.has(status)) return false;
    return !this.#everOpen || LASTING.has(status);
  }

  #reader(maxEventBytes: number): SseDecoder {
    return new SseDecoder({
      maxEventBytes,
      onRetry: (milliseconds) => {
        this.#serverRetryMs = Math.min(milliseconds, MAX_RETRY_MS);
      },
      onEvent: (event) => {
        this.#lastEventId = event.id;
        if (event.data.length === 0) return;
        const message = parseUpstream(event.data);
        if (message.kind === "batch") message.messages.forEach(this.#options.onMessage);
        else this.#options.onMessage(message);
      },
    });
  }
}
