import type { Dispatcher } from "undici";
import { type Collected, collect, collected } from "../byte-collector.ts";
import { SseLimitError } from "../sse-decoder.ts";
import { abortError } from "./abort.ts";
import type { Deadlines, Expiring } from "./deadlines.ts";
import { UpstreamError } from "./upstream-error.ts";

type ResponseHeaders = { readonly [name: string]: string | string[] | undefined };

/** Status, headers and body of an HTTP answer that was read to its end. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: ResponseHeaders;
  /** Empty when the body went to a {@link StreamReader}. */
  readonly body: Buffer;
}

/** Takes the body of an answer while it comes. */
export interface StreamReader {
  push(chunk: Buffer): void;
}

/** Options of one exchange. */
export interface ExchangeOptions {
  readonly signal: AbortSignal | undefined;
  /** 0 = no limit. */
  readonly timeoutMs: number;
  /** Longest body that is buffered. */
  readonly maxBytes: number;
  /** Asked when the headers are there: a reader takes the body, nothing buffers it. */
  readonly onHead?: (status: number, headers: ResponseHeaders) => StreamReader | undefined;
}

const NO_ERROR = new Error("The exchange was ended by its owner.");

/** One HTTP request on an undici dispatcher, with the phase it has reached. Settles exactly once. */
export class HttpExchange implements Dispatcher.DispatchHandler, Expiring {
  readonly answer: Promise<HttpAnswer>;
  #resolve!: (answer: HttpAnswer) => void;
  #reject!: (error: unknown) => void;
  deadlineAt = 0;
  previous: Expiring | undefined = undefined;
  next: Expiring | undefined = undefined;
  readonly #options: ExchangeOptions;
  readonly #deadlines: Deadlines;
  #controller: Dispatcher.DispatchController | undefined;
  #settled = false;
  #started = false;
  #status = 0;
  #headers: ResponseHeaders = {};
  #reader: StreamReader | undefined;
  #body: Collected;
  #bytes = 0;
  /** Ends what goes on in the background after {@link finish}. */
  #grace: NodeJS.Timeout | undefined;
  readonly #onAbort: (() => void) | undefined;

  constructor(options: ExchangeOptions, deadlines: Deadlines) {
    this.#options = options;
    this.#deadlines = deadlines;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { signal, timeoutMs } = options;
    if (timeoutMs > 0) {
      const now = performance.now();
      this.deadlineAt = now + timeoutMs;
      deadlines.add(this, now);
    }
    if (signal) {
      // Not assigned in one step: V8 would allocate the function, and with it the call, in its old generation.
      const onAbort = () => this.stop(abortError(signal, this.phase));
      this.#onAbort = onAbort;
      signal.addEventListener("abort", onAbort, { once: true });
    }
  }

  /** How far the request got. */
  get phase() {
    if (!this.#started) return "not_sent";
    return this.#status === 0 || this.#reader ? "sent_no_response" : "response_received";
  }

  /** Ends the exchange with an error; the connection is dropped when it was in use. */
  stop(error: unknown): void {
    this.#fail(error);
    this.#controller?.abort(NO_ERROR);
  }

  /** Settles with what is there; a stream goes on in the background until `graceMs`, to keep its connection. */
  finish(graceMs: number): void {
    if (this.#settled) return;
    this.#succeed();
    this.#grace = setTimeout(() => this.#controller?.abort(NO_ERROR), graceMs);
    this.#grace.unref();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#settled) controller.abort(NO_ERROR);
    // Whoever repeats a request decides that above; a client that does so by itself may execute it twice.
    else if (this.#started) this.stop(networkError(new Error("It was about to be sent again."), this.phase));
    else this.#started = true;
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: ResponseHeaders): void {
    if (this.#settled || status < 200) return;
    this.#status = status;
    this.#headers = headers;
    this.#reader = this.#options.onHead?.(status, headers);
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#settled) return;
    if (this.#reader) {
      try {
        this.#reader.push(chunk);
      } catch (error) {
        this.stop(error instanceof SseLimitError ? tooLarge(error.message) : error);
      }
      return;
    }
    this.#bytes += chunk.length;
    if (this.#bytes > this.#options.maxBytes) {
      this.stop(tooLarge(`The upstream's answer is longer than ${this.#options.maxBytes} bytes.`));
      return;
    }
    this.#body = collect(this.#body, chunk);
  }

  onResponseEnd(): void {
    if (this.#settled) clearTimeout(this.#grace);
    else this.#succeed();
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    if (this.#settled) clearTimeout(this.#grace);
    else this.#fail(networkError(error, this.phase));
  }

  #succeed(): void {
    this.#settle();
    const body = collected(this.#body);
    this.#body = undefined;
    this.#resolve({ status: this.#status, headers: this.#headers, body });
  }

  #fail(error: unknown): void {
    if (this.#settled) return;
    this.#settle();
    this.#body = undefined;
    this.#reject(error);
  }

  #settle(): void {
    this.#settled = true;
    if (this.deadlineAt > 0) this.#deadlines.remove(this);
    if (this.#onAbort) this.#options.signal?.removeEventListener("abort", this.#onAbort);
  }

  expire(): void {
    const text = `The upstream did not answer within ${this.#options.timeoutMs} ms.`;
    this.stop(new UpstreamError("upstream_timeout", text, { phase: this.phase }));
  }
}

function tooLarge(text: string): UpstreamError {
  return new UpstreamError("answer_too_large", text, { phase: "response_received" });
}

const CLOSED_CODES: ReadonlySet<unknown> = new Set(["UND_ERR_CLOSED", "UND_ERR_DESTROYED"]);

/** A failure of the connection as an upstream error. */
export function networkError(error: Error, phase: UpstreamError["phase"]): UpstreamError {
  const code = (error as { code?: unknown }).code;
  const networkCode = typeof code === "string" ? code : undefined;
  if (CLOSED_CODES.has(code)) {
    return new UpstreamError("closed", "The upstream was closed.", { phase, networkCode, cause: error });
  }
  const text =
    phase === "not_sent"
      ? "The upstream cannot be reached"
      : "The connection to the upstream broke before its answer";
  return new UpstreamError("upstream_unreachable", networkCode ? `${text} (${networkCode}).` : `${text}.`, {
    phase,
    networkCode,
    cause: error,
  });
}
