import type { IncomingHttpHeaders } from "node:http";
import {
  classifyEra,
  type NotificationMessage,
  parseMessage,
  type RequestMessage,
  type ResponseMessage,
  textOf,
  WireError,
} from "@gatewright/mcp-bridge";
import type { Principal } from "../auth/principal.ts";
import type { Target } from "../calls/target.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import type { DownstreamSessions } from "../downstream/downstream-sessions.ts";
import { GatewayError } from "../errors.ts";
import { failureAnswer } from "../http/failure-answer.ts";
import type { AggregateDeps } from "../mcp/aggregate-endpoint.ts";
import { initialize } from "../mcp/initialize.ts";
import { runExchange } from "../mcp/run-exchange.ts";
import { takeOneWay } from "../mcp/take-one-way.ts";
import type { Replicas } from "../replicas/replicas.ts";
import type { Channel } from "./channel.ts";
import { ChannelReply } from "./channel-reply.ts";
import type { OpenChannel } from "./open-channels.ts";

/** What conversations work with. */
export interface ConversationDeps extends AggregateDeps {
  readonly sessions: DownstreamSessions;
  readonly replicas: Replicas;
  readonly limits: {
    readonly bodyBytes: number;
    readonly jsonDepth: number;
    /** Requests of one conversation that may be in flight. */
    readonly callsPerChannel: number;
  };
  readonly nextRequestId: () => string;
  /** Told of failures that are the gateway's own fault. */
  readonly onFailure: (error: unknown, requestId: string) => void;
}

/** Who speaks, and to what. */
export interface Speaker {
  readonly headers: IncomingHttpHeaders;
  readonly clientIp: string;
  /**
   * The principal and the target as they are now: asked for each message, for tokens expire and servers go.
   *
   * @throws {GatewayError}
   */
  readonly identify: () => Promise<{ readonly principal: Principal; readonly target: Target }>;
}

/** A message that can be served. */
export type ConversationMessage = RequestMessage | NotificationMessage | ResponseMessage;

type Identity = Awaited<ReturnType<Speaker["identify"]>>;

/**
 * What one client says over one channel, message by message: a handshake and a session, stateless requests with
 * their envelope, or plain JSON-RPC, each as it is meant. The channel's end is the conversation's: calls in flight are
 * aborted, and so are the waits before repeats.
 */
export class Conversation implements OpenChannel {
  readonly #deps: ConversationDeps;
  readonly #channel: Channel;
  readonly #speaker: Speaker;
  /** Requests in flight by the raw text of their id. */
  readonly #calls = new Map<string, AbortController>();
  #session: DownstreamSession | undefined;
  /** Whether the handshake was done. */
  #introduced = false;
  #handshake: Promise<unknown> | undefined;
  #draining = false;
  #closed = false;

  /** `session` is one that was opened before its handshake. */
  constructor(deps: ConversationDeps, channel: Channel, speaker: Speaker, session?: DownstreamSession) {
    this.#deps = deps;
    this.#channel = channel;
    this.#speaker = speaker;
    this.#session = session;
    session?.bind(channel);
  }

  /**
   * Reads one message.
   *
   * @throws {WireError}
   */
  read(bytes: Buffer): ConversationMessage {
    const { bodyBytes: maxBytes, jsonDepth: maxDepth } = this.#deps.limits;
    const message = parseMessage(bytes, { maxBytes, maxDepth });
    if (message.kind !== "batch") return message;
    throw new WireError("invalid_request", "Batches are not served here; send the messages one by one.");
  }

  /** Serves one message. Never rejects: what is wrong is answered over the channel, with the request's id. */
  async take(message: ConversationMessage): Promise<void> {
    const requestId = this.#deps.nextRequestId();
    const idText = message.kind === "request" ? textOf(message.bytes, message.idSpan) : "null";
    try {
      await this.#serve(message, idText, await this.#identify(), requestId);
    } catch (error) {
      // Only requests are answered.
      this.refuse(error, message.kind === "request" ? idText : undefined, requestId);
    }
  }

  /** Answers what could not be read, or served. Nothing is sent where `idText` is missing. */
  refuse(error: unknown, idText: string | undefined, requestId = this.#deps.nextRequestId()): void {
    if (!WireError.is(error) && !GatewayError.is(error)) this.#deps.onFailure(error, requestId);
    if (idText !== undefined) this.#channel.send(failureAnswer(error, idText, requestId).body);
    if (GatewayError.is(error) && error.code === "unauthorized") this.#channel.end("unauthorized");
  }

  drain(): void {
    this.#draining = true;
    if (this.#calls.size === 0) this.#channel.end("going_away");
  }

  /** The channel is gone, or has to go. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#channel.end("going_away");
    for (const call of this.#calls.values()) call.abort();
    if (this.#session !== undefined) this.#deps.sessions.end(this.#session);
  }

  async #identify(): Promise<Identity> {
    const identity = await this.#speaker.identify();
    // The session may have been ended from elsewhere, and belongs to one principal and one target.
    const session = this.#session;
    if (session !== undefined) this.#deps.sessions.get(session.id, identity.principal, identity.target);
    return identity;
  }

  async #serve(
    message: ConversationMessage,
    idText: string,
    identity: Identity,
    requestId: string,
  ): Promise<void> {
    const verdict = classifyEra({}, message);
    if (verdict.era === "refused") throw verdict.error;
    if (message.kind !== "request") return this.#takeOneWay(message);
    const control = this.#begin(idText);
    try {
      const era = verdict.era === "modern" ? "modern" : await this.#legacyEra();
      if (message.method === "initialize" && era !== "modern") {
        return await this.#initialize(identity, message, idText);
      }
      await runExchange(this.#deps, control, {
        ...identity,
        era,
        session: era === "legacy" ? this.#session : undefined,
        message,
        idText,
        reply: new ChannelReply(this.#channel),
        headers: this.#speaker.headers,
        clientIp: this.#speaker.clientIp,
        requestId,
        signal: control.signal,
      });
    } finally {
      this.#calls.delete(idText);
      if (this.#draining && this.#calls.size === 0) this.#channel.end("going_away");
    }
  }

  #begin(idText: string): AbortController {
    if (this.#draining) throw overloaded("the gateway is stopping; connect again");
    if (this.#calls.size >= this.#deps.limits.callsPerChannel) {
      throw overloaded("too many requests are in flight on this connection");
    }
    if (this.#calls.has(idText)) {
      throw new WireError("invalid_request", "A request with this id is in flight already.", { idText });
    }
    const control = new AbortController();
    this.#calls.set(idText, control);
    return control;
  }

  /** A request without an envelope belongs to the session once there is one, and is plain JSON-RPC before. */
  async #legacyEra(): Promise<"legacy" | "plain"> {
    await this.#handshake?.catch(() => undefined);
    return this.#introduced ? "legacy" : "plain";
  }

  async #initialize({ principal, target }: Identity, message: RequestMessage, idText: string): Promise<void> {
    if (this.#introduced || this.#handshake !== undefined) {
      throw new WireError("invalid_request", "The handshake has been done already.", { idText });
    }
    const opened = this.#session && { session: this.#session };
    const handshake = initialize(this.#deps, { principal, target, message, idText, ...opened });
    this.#handshake = handshake;
    try {
      const { body, session } = await handshake;
      if (this.#closed) return this.#deps.sessions.end(session);
      if (this.#session === undefined) session.bind(this.#channel);
      this.#session = session;
      this.#introduced = true;
      this.#channel.send(body);
    } finally {
      this.#handshake = undefined;
    }
  }

  async #takeOneWay(message: NotificationMessage | ResponseMessage): Promise<void> {
    if (message.kind === "notification" && message.method === "notifications/cancelled") {
      const { requestId } = message.spans;
      if (requestId !== undefined) this.#calls.get(textOf(message.bytes, requestId))?.abort();
      return;
    }
    if (this.#session !== undefined) await takeOneWay(this.#session, message);
  }
}

function overloaded(text: string): GatewayError {
  return new GatewayError("overloaded", text, { retryAfterMs: 1_000 });
}
