import { encodeHeaderValue } from "../headers.ts";
import type { JsonObject, ResponseMessage, SingleMessage } from "../message.ts";
import { textOf } from "../splice.ts";
import { pause } from "./abort.ts";
import { UpstreamAnswer } from "./answer.ts";
import { GetStream } from "./get-stream.ts";
import { HttpCall, restoreProgressToken } from "./http-call.ts";
import type { HttpConnection } from "./http-connection.ts";
import { statusError } from "./http-status.ts";
import { encodeRequest, type SpeakerProfile } from "./request-body.ts";
import { serverSelf } from "./server-info.ts";
import type {
  CallOptions,
  CloseReason,
  Continuation,
  Implementation,
  OpenOptions,
  PeerResponse,
  UpstreamMessage,
  UpstreamRequest,
  UpstreamSession,
} from "./upstream.ts";
import { UpstreamError } from "./upstream-error.ts";

/** Limits that the sessions of an upstream share. */
export interface SessionLimits {
  readonly requestTimeoutMs: number;
  readonly closeTimeoutMs: number;
  readonly maxAnswerBytes: number;
}

/** Counters that the sessions of an upstream share. */
export interface Counters {
  sessionsOpen: number;
  sessionsOpened: number;
  requestsActive: number;
  requestsTotal: number;
  requestsFailed: number;
  /** Source of JSON-RPC ids. */
  nextId: number;
}

/** What a session is made from once the handshake is done. */
export interface HttpSessionParts {
  readonly connection: HttpConnection;
  readonly profile: SpeakerProfile;
  readonly handshake: JsonObject;
  readonly sessionId: string | undefined;
  readonly limits: SessionLimits;
  readonly counters: Counters;
  readonly onMessage: OpenOptions["onMessage"];
  readonly onGap?: OpenOptions["onGap"];
}

const CONTENT = ["content-type", "application/json", "accept", "application/json, text/event-stream"];

/** A session over streamable HTTP: with state at the server (legacy) or without (modern). */
export class HttpSession implements UpstreamSession {
  readonly era;
  readonly protocolVersion: string;
  readonly serverInfo: Implementation | undefined;
  readonly capabilities: JsonObject;
  readonly instructions: string | undefined;
  readonly sessionId: string | undefined;
  readonly handshake: JsonObject;
  readonly closed: Promise<CloseReason>;
  readonly #parts: HttpSessionParts;
  readonly #headers: readonly string[];
  /** Those of every request of the session's own revision that brings none. */
  readonly #ownHeaders: readonly string[];
  readonly #resumeHeaders: (() => readonly string[]) | undefined;
  readonly #tokens = new Map<string, string>();
  readonly #calls = new Set<HttpCall>();
  readonly #lifetime = new AbortController();
  #stream: GetStream | undefined;
  #ended: CloseReason | undefined;
  #end!: (reason: CloseReason) => void;

  constructor(parts: HttpSessionParts) {
    const { profile, handshake, sessionId } = parts;
    this.#parts = parts;
    this.era = profile.era;
    this.protocolVersion = profile.protocolVersion;
    this.handshake = handshake;
    this.sessionId = sessionId;
    const self = serverSelf(handshake);
    this.capabilities = self.capabilities;
    this.serverInfo = self.serverInfo;
    this.instructions = self.instructions;
    this.closed = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#headers = sessionId === undefined ? CONTENT : [...CONTENT, "mcp-session-id", sessionId];
    this.#ownHeaders = this.#versioned(this.protocolVersion);
    this.#resumeHeaders = this.era === "legacy" ? () => this.#streamHeaders() : undefined;
    parts.counters.sessionsOpen++;
    parts.counters.sessionsOpened++;
  }

  async request(request: UpstreamRequest, options: CallOptions = {}): Promise<UpstreamAnswer> {
    this.#assertOpen();
    const { connection, profile, limits, counters } = this.#parts;
    const id = counters.nextId++;
    const idText = String(id);
    const encoded = encodeRequest(request, id, profile);
    const headers = this.#requestHeaders(request, encoded.name, encoded.protocolVersion);
    if (encoded.progressToken !== undefined) this.#tokens.set(idText, encoded.progressToken);
    counters.requestsActive++;
    counters.requestsTotal++;
    const call = new HttpCall(connection, {
      idText,
      headers,
      body: encoded.body,
      signal: options.signal,
      timeoutMs: options.timeoutMs ?? limits.requestTimeoutMs,
      maxAnswerBytes: limits.maxAnswerBytes,
      longLived: request.method === "subscriptions/listen",
      inSession: this.sessionId !== undefined,
      resumeHeaders: this.#resumeHeaders,
      progressToken: encoded.progressToken,
      onMessage: options.onMessage,
    });
    this.#calls.add(call);
    try {
      return (await call.run()).answer;
    } catch (error) {
      counters.requestsFailed++;
      this.#onFailure(error, idText);
      throw error;
    } finally {
      counters.requestsActive--;
      this.#calls.delete(call);
      if (encoded.progressToken !== undefined) this.#tokens.delete(idText);
    }
  }

  async notify(
    notification: UpstreamRequest,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const { body, protocolVersion } = encodeRequest(notification, undefined, this.#parts.profile);
    await this.#post(body, this.#requestHeaders(notification, undefined, protocolVersion), options.signal);
  }

  async respond(response: PeerResponse, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const outcome = "result" in response ? `"result":${response.result}` : `"error":${response.error}`;
    const body = `{"jsonrpc":"2.0","id":${response.idText},${outcome}}`;
    await this.#post(body, this.#versioned(this.protocolVersion), options.signal);
  }

  /**
   * Opens the stream for the server's own messages (legacy). A server without one is fine.
   *
   * @param waitMs how long to wait for it
   */
  async listen(waitMs: number): Promise<void> {
    const { connection, limits, onMessage, onGap } = this.#parts;
    if (this.era !== "legacy" || onMessage === undefined) return;
    this.#stream = new GetStream(connection, {
      headers: this.#streamHeaders(),
      maxEventBytes: limits.maxAnswerBytes,
      signal: this.#lifetime.signal,
      onMessage: (message) => this.#deliver(message, onMessage),
      onGap,
      onLost: () => this.#finish({ kind: "lost", detail: "The upstream no longer knows the session." }),
    });
    this.#stream.start();
    if (waitMs === 0) return;
    const late = new AbortController();
    await Promise.race([this.#stream.settled, pause(waitMs, late.signal).catch(() => undefined)]);
    late.abort();
  }

  get continuation(): Continuation {
    const { sessionId, protocolVersion, handshake } = this;
    if (sessionId === undefined) return { kind: "stateless" };
    return { kind: "resumable", sessionId, protocolVersion, handshake };
  }

  async close(options: { readonly handOver?: boolean } = {}): Promise<void> {
    if (this.#ended) return;
    this.#finish({ kind: "closed" });
    const error = new UpstreamError("closed", "The session was closed.", { phase: "sent_no_response" });
    for (const call of this.#calls) call.stop(error);
    if (this.sessionId === undefined || options.handOver === true) return;
    const { connection, limits } = this.#parts;
    const exchange = connection.send(
      { method: "DELETE", headers: this.#streamHeaders() },
      { signal: undefined, timeoutMs: limits.closeTimeoutMs, maxBytes: 64 * 1024 },
    );
    await exchange.answer.catch(() => undefined);
  }

  #deliver(message: SingleMessage, onMessage: (message: UpstreamMessage) => void): void {
    if (message.kind === "response") {
      this.#takeAnswer(message);
      return;
    }
    let restored: SingleMessage = message;
    if (message.kind === "notification" && message.spans.notifiedToken) {
      const { start, end } = message.spans.notifiedToken;
      const idText = message.bytes.toString("utf8", start, end);
      restored = restoreProgressToken(message, { idText, progressToken: this.#tokens.get(idText) });
    }
    if (restored.kind === "notification" || restored.kind === "request") onMessage(restored);
  }

  /**
   * An answer on the session's own stream. The revisions want it on the stream of its request, but there are servers that
   * answer on whichever stream was opened last, and clients that take it; without that the call would hang.
   */
  #takeAnswer({ outcome, bytes, idSpan }: ResponseMessage): void {
    const idText = textOf(bytes, idSpan);
    for (const call of this.#calls) {
      if (call.has(idText)) call.take(new UpstreamAnswer(outcome, bytes, idSpan, 200, "stream"));
    }
  }

  #onFailure(error: unknown, idText: string): void {
    if (!UpstreamError.is(error)) return;
    if (error.code === "session_lost") this.#finish({ kind: "lost", detail: error.message });
    const gaveUp = error.code === "aborted" || error.code === "upstream_timeout";
    if (this.era !== "legacy" || !gaveUp || error.phase === "not_sent" || this.#ended) return;
    const params = `{"requestId":${idText},"reason":"${error.code}"}`;
    this.notify({ method: "notifications/cancelled", params }).catch(() => undefined);
  }

  async #post(
    body: string | Buffer,
    headers: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    this.#assertOpen();
    const { connection, limits } = this.#parts;
    const exchange = connection.send(
      { method: "POST", headers, body },
      { signal, timeoutMs: limits.requestTimeoutMs, maxBytes: 64 * 1024 },
    );
    const answer = await exchange.answer;
    if (answer.status >= 200 && answer.status < 300) return;
    const error = statusError(answer, this.sessionId !== undefined);
    if (error.code === "session_lost") this.#finish({ kind: "lost", detail: error.message });
    throw error;
  }

  #versioned(version: string): string[] {
    return [...this.#headers, "mcp-protocol-version", version];
  }

  #streamHeaders(): readonly string[] {
    const session = this.sessionId === undefined ? [] : ["mcp-session-id", this.sessionId];
    return ["accept", "text/event-stream", "mcp-protocol-version", this.protocolVersion, ...session];
  }

  #requestHeaders(request: UpstreamRequest, name: string | undefined, version: string): readonly string[] {
    const own = version === this.protocolVersion ? this.#ownHeaders : this.#versioned(version);
    const added: string[] = [];
    if (this.era === "modern") {
      added.push("mcp-method", request.method);
      if (name !== undefined) added.push("mcp-name", encodeHeaderValue(name));
    }
    for (const key in request.headers) added.push(key, request.headers[key] as string);
    return added.length === 0 ? own : [...own, ...added];
  }

  #assertOpen(): void {
    if (!this.#ended) return;
    const code = this.#ended.kind === "lost" ? "session_lost" : "closed";
    throw new UpstreamError(code, "The session has ended.", { phase: "not_sent" });
  }

  #finish(reason: CloseReason): void {
    if (this.#ended) return;
    this.#ended = reason;
    this.#parts.counters.sessionsOpen--;
    this.#lifetime.abort();
    this.#end(reason);
  }
}
