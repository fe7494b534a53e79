import type { JsonObject } from "../message.ts";
import type { Era } from "../revisions.ts";
import type { UpstreamAnswer } from "./answer.ts";
import type { Counters } from "./http-session.ts";
import { type EncodedRequest, encodeRequest, type SpeakerProfile } from "./request-body.ts";
import { serverSelf } from "./server-info.ts";
import type { SharedSubscriptions } from "./shared-subscriptions.ts";
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

/** A connection whose messages share one channel. */
export interface DuplexConnection {
  call(
    id: number,
    encoded: EncodedRequest,
    timeoutMs: number,
    options: Omit<CallOptions, "timeoutMs">,
  ): Promise<UpstreamAnswer>;
  send(body: string | Buffer): Promise<void>;
  /** Ends the connection. Never rejects. */
  stop(): Promise<void>;
}

/** What such a session is made from once the handshake is done. */
export interface DuplexSessionParts {
  readonly connection: DuplexConnection;
  readonly profile: SpeakerProfile;
  readonly handshake: JsonObject;
  readonly requestTimeoutMs: number;
  readonly counters: Counters;
  readonly onMessage: OpenOptions["onMessage"];
  /** Who subscribed to what, where other sessions are on the same connection. */
  readonly subscriptions?: SharedSubscriptions | undefined;
  /** Called once when the session is closed by us: ends the connection, or leaves a shared one alone. */
  readonly release: () => Promise<void>;
}

/** A session over one shared channel: a child process or HTTP+SSE. */
export class DuplexSession implements UpstreamSession {
  readonly era: Era;
  readonly protocolVersion: string;
  readonly serverInfo: Implementation | undefined;
  readonly capabilities: JsonObject;
  readonly instructions: string | undefined;
  readonly sessionId: string | undefined = undefined;
  readonly handshake: JsonObject;
  /** Whatever it speaks, what its process or its connection remembers is gone with that. */
  readonly continuation: Continuation = { kind: "bound" };
  readonly closed: Promise<CloseReason>;
  readonly #parts: DuplexSessionParts;
  #ended: CloseReason | undefined;
  #end!: (reason: CloseReason) => void;
  #released: Promise<void> | undefined;

  constructor(parts: DuplexSessionParts) {
    const { profile, handshake, counters } = parts;
    this.#parts = parts;
    this.era = profile.era;
    this.protocolVersion = profile.protocolVersion;
    this.handshake = handshake;
    const self = serverSelf(handshake);
    this.serverInfo = self.serverInfo;
    this.capabilities = self.capabilities;
    this.instructions = self.instructions;
    this.closed = new Promise((resolve) => {
      this.#end = resolve;
    });
    counters.sessionsOpen++;
    counters.sessionsOpened++;
  }

  request(request: UpstreamRequest, options: CallOptions = {}): Promise<UpstreamAnswer> {
    const { subscriptions } = this.#parts;
    if (subscriptions?.concerns(request) !== true) return this.#request(request, options);
    return subscriptions.request(this, request, () => this.#request(request, options));
  }

  async #request(request: UpstreamRequest, options: CallOptions): Promise<UpstreamAnswer> {
    this.#assertOpen();
    const { connection, profile, counters, requestTimeoutMs } = this.#parts;
    const id = counters.nextId++;
    const encoded = encodeRequest(request, id, profile);
    counters.requestsActive++;
    counters.requestsTotal++;
    try {
      return await connection.call(id, encoded, options.timeoutMs ?? requestTimeoutMs, options);
    } catch (error) {
      counters.requestsFailed++;
      this.#cancel(error, id);
      throw error;
    } finally {
      counters.requestsActive--;
    }
  }

  async notify(notification: UpstreamRequest): Promise<void> {
    this.#assertOpen();
    const { connection, profile } = this.#parts;
    await connection.send(encodeRequest(notification, undefined, profile).body);
  }

  async respond(response: PeerResponse): Promise<void> {
    this.#assertOpen();
    const outcome = "result" in response ? `"result":${response.result}` : `"error":${response.error}`;
    await this.#parts.connection.send(`{"jsonrpc":"2.0","id":${response.idText},${outcome}}`);
  }

  /** Hands on a message that belongs to no call. */
  deliver(message: UpstreamMessage): void {
    if (this.#ended) return;
    const { subscriptions, onMessage } = this.#parts;
    if (subscriptions?.isFor(this, message) !== false) onMessage?.(message);
  }

  /** Notes that the connection is gone. */
  lost(reason: CloseReason): void {
    this.#finish(reason);
  }

  close(): Promise<void> {
    this.#finish({ kind: "closed" });
    this.#released ??= this.#parts.release();
    return this.#released;
  }

  #cancel(error: unknown, id: number): void {
    if (!UpstreamError.is(error) || error.phase !== "sent_no_response" || this.#ended) return;
    if (error.code !== "aborted" && error.code !== "upstream_timeout") return;
    const params = `{"requestId":${id},"reason":"${error.code}"}`;
    this.notify({ method: "notifications/cancelled", params }).catch(() => undefined);
  }

  #assertOpen(): void {
    if (!this.#ended) return;
    const { kind, detail } = this.#ended;
    const code = kind === "closed" ? "closed" : kind === "lost" ? "session_lost" : "upstream_unreachable";
    throw new UpstreamError(code, detail ?? "The session is closed.", { phase: "not_sent" });
  }

  #finish(reason: CloseReason): void {
    if (this.#ended) return;
    this.#ended = reason;
    this.#parts.counters.sessionsOpen--;
    this.#parts.subscriptions?.leave(this);
    this.#end(reason);
  }
}
