import { SseDecoder, type SseEvent } from "../sse-decoder.ts";
import type { UpstreamAnswer } from "./answer.ts";
import { Duplex } from "./duplex.ts";
import type { DuplexConnection } from "./duplex-session.ts";
import type { HttpConnection } from "./http-connection.ts";
import type { HttpExchange } from "./http-exchange.ts";
import { mediaType, statusError } from "./http-status.ts";
import type { EncodedRequest } from "./request-body.ts";
import type { CallOptions, CloseReason, UpstreamMessage } from "./upstream.ts";
import { onceBegun, UpstreamError } from "./upstream-error.ts";

/** Options of {@link SseConnection}. */
export interface SseConnectionOptions {
  readonly maxEventBytes: number;
  /** Longest wait for the `endpoint` event and for each POST. */
  readonly timeoutMs: number;
  /** Whether the calls are of several callers. */
  readonly shared: boolean;
  readonly onMessage: (message: UpstreamMessage) => void;
  /** The stream ended; called once. */
  readonly onEnd: (reason: CloseReason) => void;
}

const MAX_POST_ANSWER_BYTES = 64 * 1024;

/**
 * The transport of 2024-11-05: a stream that a GET opens carries everything the server says, beginning with an
 * `endpoint` event; what the client says is posted there. The stream is the session.
 */
export class SseConnection implements DuplexConnection {
  readonly #http: HttpConnection;
  readonly #options: SseConnectionOptions;
  readonly #duplex: Duplex;
  #exchange: HttpExchange | undefined;
  #endpoint: string | undefined;
  #ended: UpstreamError | undefined;

  constructor(http: HttpConnection, options: SseConnectionOptions) {
    this.#http = http;
    this.#options = options;
    this.#duplex = new Duplex({
      send: (body, signal) => this.#post(body, signal),
      onMessage: options.onMessage,
      shared: options.shared,
      onStray: () => undefined,
    });
  }

  /** Opens the stream and waits for the endpoint. @throws UpstreamError */
  open(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (error: UpstreamError) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        reject(error);
        this.#end(error, { kind: "failed", detail: error.message });
      };
      const onAbort = () =>
        fail(new UpstreamError("aborted", "The request was aborted.", { phase: "not_sent" }));
      const timer = setTimeout(() => fail(noEndpoint("in time")), this.#options.timeoutMs);
      const ready = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      this.#exchange = this.#start(ready, fail);
      this.#exchange.answer.then(
        (answer) => fail(answer.status === 200 ? streamEnded() : statusError(answer, false)),
        (error: unknown) => fail(UpstreamError.is(error) ? error : streamEnded()),
      );
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  call(
    id: number,
    encoded: EncodedRequest,
    timeoutMs: number,
    options: Omit<CallOptions, "timeoutMs">,
  ): Promise<UpstreamAnswer> {
    return this.#duplex.call(id, encoded, timeoutMs, options);
  }

  send(body: string | Buffer): Promise<void> {
    return this.#post(body, undefined);
  }

  async stop(): Promise<void> {
    const error = new UpstreamError("closed", "The session was closed.", { phase: "sent_no_response" });
    this.#end(error, { kind: "closed" });
  }

  #start(ready: () => void, fail: (error: UpstreamError) => void): HttpExchange {
    const onEvent = (event: SseEvent) => {
      if (event.event !== "endpoint") this.#duplex.receive(event.data);
      else if (this.#endpoint === undefined && this.#setEndpoint(event.data.toString("utf8"))) ready();
      else if (this.#endpoint === undefined) fail(noEndpoint("on its own origin"));
    };
    return this.#http.send(
      { method: "GET", headers: ["accept", "text/event-stream"], longLived: true },
      {
        signal: undefined,
        timeoutMs: 0,
        maxBytes: MAX_POST_ANSWER_BYTES,
        onHead: (status, headers) =>
          status === 200 && mediaType(headers) === "text/event-stream"
            ? new SseDecoder({ onEvent, maxEventBytes: this.#options.maxEventBytes })
            : undefined,
      },
    );
  }

  /** Posting elsewhere would hand our credentials to whomever the server names. */
  #setEndpoint(text: string): boolean {
    const { url } = this.#http;
    if (!URL.canParse(text, url.href)) return false;
    const endpoint = new URL(text, url.href);
    if (endpoint.origin !== url.origin) return false;
    this.#endpoint = endpoint.pathname + endpoint.search;
    return true;
  }

  async #post(body: string | Buffer, signal: AbortSignal | undefined): Promise<void> {
    if (this.#ended) throw new UpstreamError(this.#ended.code, this.#ended.message, { phase: "not_sent" });
    const exchange = this.#http.send(
      {
        method: "POST",
        headers: ["content-type", "application/json"],
        body,
        ...(this.#endpoint !== undefined && { path: this.#endpoint }),
      },
      { signal, timeoutMs: this.#options.timeoutMs, maxBytes: MAX_POST_ANSWER_BYTES },
    );
    const answer = await exchange.answer;
    if (answer.status >= 200 && answer.status < 300) return;
    const error = statusError(answer, true);
    if (error.code === "session_lost") {
      // Only this message was refused, and its caller hears that first; others of the session are under way.
      setImmediate(() => this.#end(onceBegun(error), { kind: "lost", detail: error.message }));
    }
    throw error;
  }

  #end(error: UpstreamError, reason: CloseReason): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#duplex.fail(error);
    this.#exchange?.stop(error);
    this.#options.onEnd(reason);
  }
}

function streamEnded(): UpstreamError {
  return new UpstreamError("upstream_unreachable", "The upstream ended its stream.", {
    phase: "sent_no_response",
  });
}

function noEndpoint(what: string): UpstreamError {
  const text = `The upstream named no endpoint ${what}.`;
  return new UpstreamError("upstream_protocol", text, { phase: "response_received" });
}
