import type { BatchMessage, Message, SingleMessage } from "../message.ts";
import { parseMessage } from "../parse-message.ts";
import { splice, textOf } from "../splice.ts";
import { SseDecoder, type SseEvent } from "../sse-decoder.ts";
import { abortError, pause } from "./abort.ts";
import { errorWithoutId, protocolError, readAnswer, type UpstreamAnswer } from "./answer.ts";
import type { HttpConnection } from "./http-connection.ts";
import type { HttpAnswer, HttpExchange } from "./http-exchange.ts";
import { mediaType, retryAfterMs, statusError } from "./http-status.ts";
import type { UpstreamMessage } from "./upstream.ts";
import { onceBegun, UpstreamError } from "./upstream-error.ts";

/** Everything one JSON-RPC request over HTTP needs. */
export interface HttpCallOptions {
  readonly idText: string;
  readonly headers: readonly string[];
  readonly body: string | Buffer;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
  readonly maxAnswerBytes: number;
  readonly longLived: boolean;
  /** Legacy: the request carries a session id, so that 404 means the session is gone. */
  readonly inSession: boolean;
  /** Legacy: a stream that ends before its answer is resumed by GET with these headers. */
  readonly resumeHeaders: (() => readonly string[]) | undefined;
  /** Raw text of the caller's progress token. */
  readonly progressToken: string | undefined;
  readonly onMessage: ((message: UpstreamMessage) => void) | undefined;
}

/** An answer together with the HTTP headers it came with. */
export interface HttpCallResult {
  readonly answer: UpstreamAnswer;
  readonly headers: HttpAnswer["headers"];
}

/** How long a connection may linger after its stream delivered the answer. */
const LINGER_MS = 1_000;
/** Waiting time before a resumption when the server named none. */
const DEFAULT_RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;
/** Resumptions in a row that fail or bring nothing new. */
const MAX_BARREN_RESUMPTIONS = 5;

/** Sends one JSON-RPC request over HTTP and waits for its answer, as JSON or on an event stream. */
export class HttpCall {
  readonly #connection: HttpConnection;
  readonly #options: HttpCallOptions;
  readonly #deadline: number;
  #exchange: HttpExchange | undefined;
  #streamed: UpstreamAnswer | undefined;
  #streamHeaders: HttpAnswer["headers"] = NO_HEADERS;
  #lastEventId: string | undefined;
  #retryMs = DEFAULT_RETRY_MS;
  #events = 0;
  #stopped: UpstreamError | undefined;
  /** Ends the pause before a resumption. */
  #pausing: AbortController | undefined;

  constructor(connection: HttpConnection, options: HttpCallOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#deadline = options.timeoutMs > 0 ? performance.now() + options.timeoutMs : Number.POSITIVE_INFINITY;
  }

  /** @throws UpstreamError */
  async run(): Promise<HttpCallResult> {
    const { headers, body, longLived } = this.#options;
    let answer: HttpAnswer;
    try {
      answer = await this.#exchangeOnce({ method: "POST", headers, body, longLived });
    } catch (error) {
      if (!isBroken(error) || this.#lastEventId === undefined || !this.#options.resumeHeaders) throw error;
      return { answer: await this.#resume(), headers: this.#streamHeaders };
    }
    if (this.#streamed) return { answer: this.#streamed, headers: answer.headers };
    if (mediaType(answer.headers) === "text/event-stream" && isOk(answer.status)) {
      return { answer: await this.#resume(), headers: answer.headers };
    }
    return { answer: this.#fromBody(answer), headers: answer.headers };
  }

  /** Whether this is the request with that id, as raw JSON. */
  has(idText: string): boolean {
    return this.#options.idText === idText;
  }

  /** Takes the answer that came another way than the call's own stream. */
  take(answer: UpstreamAnswer): void {
    if (this.#streamed || this.#stopped) return;
    this.#streamed = answer;
    this.#exchange?.finish(LINGER_MS);
    this.#pausing?.abort();
  }

  /** Ends the call with an error, in whatever state it is. */
  stop(error: UpstreamError): void {
    this.#stopped = error;
    this.#exchange?.stop(error);
    this.#pausing?.abort();
  }

  #exchangeOnce(send: Parameters<HttpConnection["send"]>[0]): Promise<HttpAnswer> {
    const { signal, maxAnswerBytes } = this.#options;
    if (this.#stopped) return Promise.reject(this.#stopped);
    if (signal?.aborted) return Promise.reject(abortError(signal, "not_sent"));
    const left = this.#deadline - performance.now();
    this.#exchange = this.#connection.send(send, {
      signal,
      timeoutMs: Number.isFinite(left) ? Math.max(1, Math.ceil(left)) : 0,
      maxBytes: maxAnswerBytes,
      onHead: (status, headers) =>
        isOk(status) && mediaType(headers) === "text/event-stream" ? this.#reader(headers) : undefined,
    });
    return this.#exchange.answer;
  }

  #reader(headers: HttpAnswer["headers"]): SseDecoder {
    this.#streamHeaders = headers;
    const decoder = new SseDecoder({
      maxEventBytes: this.#options.maxAnswerBytes,
      onRetry: (milliseconds) => {
        this.#retryMs = Math.min(milliseconds, MAX_RETRY_MS);
      },
      onEvent: (event) => this.#event(event),
    });
    return decoder;
  }

  #event(event: SseEvent): void {
    if (event.id !== undefined) this.#lastEventId = event.id;
    this.#events++;
    if (event.data.length === 0 || this.#streamed) return;
    const answer = readAnswer(event.data, this.#options.idText, 200, "stream");
    if (answer) {
      this.#streamed = answer;
      this.#exchange?.finish(LINGER_MS);
      return;
    }
    const message = parseUpstream(event.data);
    if (message.kind !== "batch") {
      this.#message(message);
      return;
    }
    this.#streamed = this.#takeBatch(message, 200, "stream");
    if (this.#streamed) this.#exchange?.finish(LINGER_MS);
  }

  /** Hands on what a batch (2025-03-26) holds beside the answer, which is returned. */
  #takeBatch(batch: BatchMessage, httpStatus: number, via: "json" | "stream"): UpstreamAnswer | undefined {
    let answer: UpstreamAnswer | undefined;
    for (const part of batch.messages) {
      if (part.kind !== "response") this.#message(part);
      else answer ??= readAnswer(part.bytes, this.#options.idText, httpStatus, via);
    }
    return answer;
  }

  #message(message: SingleMessage): void {
    const restored = restoreProgressToken(message, this.#options);
    if (restored.kind === "notification" || restored.kind === "request") this.#options.onMessage?.(restored);
  }

  /**
   * Legacy streams may be cut by the server before the answer; they go on behind the last event id. A resumption that
   * fails is repeated, after growing pauses: it executes nothing. The request itself never is.
   */
  async #resume(): Promise<UpstreamAnswer> {
    const { resumeHeaders } = this.#options;
    let failures = 0;
    let last: UpstreamError | undefined;
    for (let barren = 0; barren < MAX_BARREN_RESUMPTIONS; barren++) {
      const id = this.#lastEventId;
      if (resumeHeaders === undefined || id === undefined) break;
      const pauseMs = Math.min(
        this.#retryMs * 2 ** failures,
        MAX_RETRY_MS,
        this.#deadline - performance.now(),
      );
      await this.#pause(pauseMs);
      if (this.#streamed) return this.#streamed;
      if (performance.now() >= this.#deadline) throw outOfTime(this.#options.timeoutMs);
      const before = this.#events;
      const headers = [...resumeHeaders(), "last-event-id", id];
      try {
        const { status } = await this.#exchangeOnce({ method: "GET", headers, longLived: true });
        if (this.#streamed) return this.#streamed;
        if (!isOk(status) && !mayPass(status)) break;
        failures = isOk(status) ? 0 : failures + 1;
      } catch (error) {
        if (!isBroken(error)) throw UpstreamError.is(error) ? onceBegun(error) : error;
        failures++;
        last = error;
      }
      if (this.#events > before) barren = -1;
    }
    throw new UpstreamError("upstream_unreachable", "The upstream's stream ended before its answer.", {
      phase: "sent_no_response",
      networkCode: last?.networkCode,
      cause: last,
    });
  }

  /** Waits before a resumption, unless the call is over meanwhile. */
  async #pause(milliseconds: number): Promise<void> {
    const { signal } = this.#options;
    const pausing = new AbortController();
    this.#pausing = pausing;
    const either = signal ? AbortSignal.any([signal, pausing.signal]) : pausing.signal;
    try {
      await pause(milliseconds, either, "sent_no_response");
    } catch (error) {
      if (this.#stopped) throw this.#stopped;
      if (this.#streamed === undefined) throw error;
    } finally {
      this.#pausing = undefined;
    }
  }

  #fromBatch(body: Buffer, status: number): UpstreamAnswer | undefined {
    if (!isOk(status) || body[0] !== OPEN_BRACKET) return undefined;
    const message = parseUpstream(body);
    return message.kind === "batch" ? this.#takeBatch(message, status, "json") : undefined;
  }

  #fromBody(http: HttpAnswer): UpstreamAnswer {
    const { idText, inSession } = this.#options;
    const { status, headers, body } = http;
    const answered = !NEVER_ANSWERS.has(status) && !(status === 404 && inSession);
    if (answered && mediaType(headers) === "application/json") {
      const waitMs = isOk(status) ? undefined : retryAfterMs(headers, Date.now());
      const answer =
        readAnswer(body, idText, status, "json", waitMs) ??
        errorWithoutId(body, idText, status, waitMs) ??
        this.#fromBatch(body, status);
      if (answer) return answer;
      if (isOk(status)) throw protocolError("The upstream answered a request with something else.", status);
    }
    if (!isOk(status)) throw statusError(http, inSession);
    throw protocolError(`The upstream answered with content type '${mediaType(headers)}'.`, status);
  }
}

const OPEN_BRACKET = 0x5b;
const NO_HEADERS: HttpAnswer["headers"] = {};

function outOfTime(timeoutMs: number): UpstreamError {
  const text = `The upstream did not answer within ${timeoutMs} ms.`;
  return new UpstreamError("upstream_timeout", text, { phase: "sent_no_response" });
}

/** The connection broke, or never came about; nobody ended it. */
function isBroken(error: unknown): error is UpstreamError {
  return UpstreamError.is(error) && error.code === "upstream_unreachable";
}

/** Whether a resumption that was refused may succeed later. */
function mayPass(status: number): boolean {
  return status >= 500 || PASSING.has(status);
}

/** Credentials that change, a stream that is still taken for open, and haste. */
const PASSING: ReadonlySet<number> = new Set([401, 403, 408, 409, 429]);

/** Statuses that the transport owns, whatever the body says. */
const NEVER_ANSWERS: ReadonlySet<number> = new Set([401, 403, 429, 503]);

function isOk(status: number): boolean {
  return status >= 200 && status < 300;
}

/** A message of the upstream. @throws UpstreamError when it is none */
export function parseUpstream(bytes: Buffer): Message {
  try {
    return parseMessage(bytes, { maxBytes: Number.POSITIVE_INFINITY });
  } catch (cause) {
    throw protocolError("The upstream sent something that is no JSON-RPC message.", undefined, cause);
  }
}

/** A progress notification under our token gets the caller's token back. */
export function restoreProgressToken(
  message: SingleMessage,
  call: { readonly idText: string; readonly progressToken: string | undefined },
): SingleMessage {
  if (message.kind !== "notification" || message.method !== "notifications/progress") return message;
  const span = message.spans.notifiedToken;
  if (call.progressToken === undefined || !span || textOf(message.bytes, span) !== call.idText)
    return message;
  const restored = parseUpstream(splice(message.bytes, [{ ...span, text: call.progressToken }]));
  return restored.kind === "batch" ? message : restored;
}
