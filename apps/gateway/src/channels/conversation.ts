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
import type { HeldMessages, MessageMeter } from "../http/held-messages.ts";
import type { AggregateDeps } from "../mcp/aggregate-endpoint.ts";
import { initialize } from "../mcp/initialize.ts";
import { runExchange } from "../mcp/run-exchange.ts";
import { endsSomething, takeOneWay } from "../mcp/take-one-way.ts";
import type { Replicas } from "../replicas/replicas.ts";
import type { Channel } from "./channel.ts";
import { ChannelReply } from "./channel-reply.ts";
import type { OpenChannel } from "./open-channels.ts";

/** What conversations work with. */
export interface ConversationDeps extends AggregateDeps {
  readonly sessions: DownstreamSessions;
  readonly replicas: Replicas;
  readonly held: HeldMessages;
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

/** Who sends a message, and to what. */
export interface Speaker {
  /** The key of the principal that opened the channel. */
  readonly user: string;
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

/** Messages without an answer that may be under way on a connection. */
const maxOneWay = 1_024;

type Identity = Awaited<ReturnType<Speaker["identify"]>>;

/**
 * What one client says over one channel, message by message: a handshake and a session, stateless requests with
 * their envelope, or plain JSON-RPC, each as it is meant.
 */
export class Conversation implements Required<Omit<OpenChannel, "authorization">> {
  readonly #deps: ConversationDeps;
  readonly #channel: Channel;
  /** Requests in flight by the raw text of their id. */
  readonly #calls = new Map<string, AbortController>();
  #session: DownstreamSession | undefined;
  /** Whether the handshake was done. */
  #introduced = false;
  #handshake: Promise<unknown> | undefined;
  #draining = false;
  /** Whether the channel is gone. */
  #left = false;
  /** Messages that are being served, those included of which it is not known yet who sends them. */
  #taking = 0;

  /** `session` is one that was opened before its handshake. */
  constructor(deps: ConversationDeps, channel: Channel, session?: DownstreamSession) {
    this.#deps = deps;
    this.#channel = channel;
    this.#session = session;
    session?.bind(channel);
  }

  /**
   * Serves one message. Never rejects: what is wrong is answered over the channel, with the request's id.
   *
   * @param meter what the message has been counted by so far, if it has
   */
  async take(message: ConversationMessage, speaker: Speaker, meter?: MessageMeter): Promise<void> {
    const requestId = this.#deps.nextRequestId();
    const idText = message.kind === "request" ? textOf(message.bytes, message.idSpan) : "null";
    const held = meter ?? this.#deps.held.meter(speaker.user);
    this.#taking++;
    try {
      if (meter === undefined) held.read(message.bytes.length);
      if (!endsSomething(message)) {
        if (this.#taking > this.#deps.limits.callsPerChannel + maxOneWay) {
          throw overloaded("too many messages are under way on this connection");
        }
        held.keep();
      }
      if (message.kind === "request") await this.#answer(message, idText, speaker, requestId);
      else await this.#takeOneWay(message, speaker);
    } catch (error) {
      // Only requests are answered.
      this.refuse(error, message.kind === "request" ? idText : undefined, requestId);
    } finally {
      this.#taking--;
      held.release();
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
    this.#endIfDone();
  }

  /** The channel is gone, or has to go: calls in flight are aborted. */
  close(): void {
    this.leave();
    for (const call of this.#calls.values()) call.abort();
    this.#endIfDone();
  }

  /** The client's token is no longer valid: nothing more is sent. */
  revoke(): void {
    this.#channel.end("unauthorized");
  }

  /** The channel is gone. Calls of the session go on to their end, unheard, then it ends; others are aborted. */
  leave(): void {
    this.#left = true;
    this.#channel.end("going_away");
    for (const [idText, call] of this.#calls) if (!this.#session?.calls.has(idText)) call.abort();
    this.#endIfDone();
  }

  async #identify({ identify }: Speaker): Promise<Identity> {
    const identity = await identify();
    // The session may have been ended from elsewhere, and belongs to one principal and one target.
    const session = this.#session;
    if (session !== undefined) this.#deps.sessions.get(session.id, identity.principal, identity.target);
    return identity;
  }

  async #answer(message: RequestMessage, idText: string, speaker: Speaker, requestId: string): Promise<void> {
    const identity = await this.#identify(speaker);
    const verdict = classifyEra({}, message);
    if (verdict.era === "refused") throw verdict.error;
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
        headers: speaker.headers,
        clientIp: speaker.clientIp,
        requestId,
        signal: control.signal,
      });
    } finally {
      this.#calls.delete(idText);
      this.#endIfDone();
    }
  }

  #endIfDone(): void {
    if (this.#calls.size > 0) return;
    if (this.#draining) this.#channel.end("going_away");
    if (this.#left && this.#session !== undefined) this.#deps.sessions.end(this.#session);
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
    const handshake = initialize(this.#deps, {
      principal,
      target,
      message,
      idText,
      ...opened,
      private: true,
    });
    this.#handshake = handshake;
    try {
      const { body, session } = await handshake;
      if (this.#session === undefined) session.bind(this.#channel);
      this.#session = session;
      this.#introduced = true;
      this.#channel.send(body);
    } finally {
      this.#handshake = undefined;
    }
  }

  async #takeOneWay(message: NotificationMessage | ResponseMessage, speaker: Speaker): Promise<void> {
    await this.#identify(speaker);
    if (message.kind === "notification" && message.method === "notifications/cancelled") {
      const { requestId } = message.spans;
      if (requestId !== undefined) this.#calls.get(textOf(message.bytes, requestId))?.abort();
      return;
    }
    if (this.#session !== undefined) await takeOneWay(this.#session, message);
  }
}

/**
 * Reads one message of a conversation.
 *
 * @throws {WireError}
 */
export function readMessage(bytes: Buffer, limits: ConversationDeps["limits"]): ConversationMessage {
  const message = parseMessage(bytes, { maxBytes: limits.bodyBytes, maxDepth: limits.jsonDepth });
  if (message.kind !== "batch") return message;
  throw new WireError("invalid_request", "Batches are not served here; send the messages one by one.");
}

function overloaded(text: string): GatewayError {
  return new GatewayError("overloaded", text, { retryAfterMs: 1_000 });
}
