import type { IncomingMessage, ServerResponse } from "node:http";
import { DEFAULT_LEGACY, textOf, WireError } from "@gatewright/mcp-bridge";
import type { Admission } from "../auth/admission.ts";
import type { Principal } from "../auth/principal.ts";
import type { Target } from "../calls/target.ts";
import { GatewayError } from "../errors.ts";
import { checkMediaType } from "../http/check-media-type.ts";
import type { MessageMeter } from "../http/held-messages.ts";
import { readBody } from "../http/read-body.ts";
import { RpcReply } from "../http/rpc-reply.ts";
import type { ForwardedRequest } from "../replicas/replicas.ts";
import { hopHeader, loopRefusal } from "../upstreams/hop.ts";
import {
  Conversation,
  type ConversationDeps,
  type ConversationMessage,
  readMessage,
} from "./conversation.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { OpenChannels } from "./open-channels.ts";
import { SseChannel } from "./sse-channel.ts";

/** What the endpoint works with. */
export interface SseEndpointDeps extends ConversationDeps {
  readonly admission: Admission;
  readonly channels: OpenChannels;
  readonly heartbeat: Heartbeat;
  readonly guard: (request: IncomingMessage) => void;
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly challenge: (request: IncomingMessage) => string;
  readonly limits: ConversationDeps["limits"] & { readonly streamBufferBytes: number };
}

/** One request to the transport of 2024-11-05. */
export interface SseRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly purpose: SsePurpose;
  /** Finds the target, for a principal that may use it. */
  readonly target: (principal: Principal) => Target;
  /** What another replica vouches for, when it forwarded the request. */
  readonly forwarded?: ForwardedRequest;
}

/** What a request is for. */
export type SsePurpose =
  /** The client opens its stream (GET). `messagesPath` takes its messages, as the client sees it. */
  | { readonly kind: "stream"; readonly messagesPath: string }
  /** The client sends one message (POST). */
  | { readonly kind: "message" };

const methods = { stream: "GET", message: "POST" } as const;

/** What a client is taken for until it says who it is. */
const unknownClient = {
  protocolVersion: DEFAULT_LEGACY,
  clientInfo: { name: "unknown", version: "0" },
  capabilities: {},
};

/**
 * Serves the transport of revision 2024-11-05: a stream (GET) whose first event names where messages are posted, and
 * which brings every answer. A session lives as long as its stream.
 */
export class SseEndpoint {
  readonly #deps: SseEndpointDeps;
  readonly #conversations = new Map<string, Conversation>();

  constructor(deps: SseEndpointDeps) {
    this.#deps = deps;
  }

  /** Serves one request; resolves when its answer, or the head of its stream, has been written. */
  async serve(incoming: SseRequest): Promise<void> {
    const { request, response, requestId, purpose, forwarded } = incoming;
    const deps = this.#deps;
    const { streamBufferBytes: maxBufferedBytes } = deps.limits;
    const reply = new RpcReply(response, { streamable: false, maxBufferedBytes });
    let idText = "null";
    let meter: MessageMeter | undefined;
    try {
      if (forwarded === undefined) deps.guard(request);
      const method = methods[purpose.kind];
      if (request.method !== method) {
        reply.setHeader("allow", method);
        throw new WireError("method_not_allowed", `${request.method} is not served here.`);
      }
      const looped = request.headers[hopHeader]?.includes(deps.hopId) === true;
      if (looped && forwarded === undefined) throw loopRefusal();
      const principal = forwarded?.principal ?? (await deps.admission.admit(request, "mcp"));
      if (purpose.kind === "stream") return await this.#open(incoming, purpose.messagesPath, principal);
      checkMediaType(request.headers);
      meter = deps.held.meter(principal.key);
      const body = forwarded?.body ?? (await readBody(request, deps.limits.bodyBytes, meter));
      if (forwarded !== undefined) meter.read(body.length);
      const message = readMessage(body, deps.limits);
      if (message.kind === "request") idText = textOf(message.bytes, message.idSpan);
      await this.#take(incoming, principal, message, { reply, meter });
    } catch (error) {
      if (GatewayError.is(error) && error.code === "unauthorized") {
        reply.setHeader("www-authenticate", deps.challenge(request));
      } else if (!GatewayError.is(error) && !WireError.is(error)) deps.onFailure(error, requestId);
      reply.fail(error, idText, requestId);
    } finally {
      meter?.release();
    }
  }

  async #open(incoming: SseRequest, messagesPath: string, principal: Principal): Promise<void> {
    const { request, response } = incoming;
    // A client that left while it was admitted will not leave again, so nothing is opened for it.
    if (response.destroyed) return;
    const { sessions, channels, replicas, heartbeat, limits } = this.#deps;
    const session = sessions.open(principal, incoming.target(principal), unknownClient);
    const held: { conversation?: Conversation } = {};
    try {
      const leave = channels.add("sse", principal, {
        drain: () => held.conversation?.drain(),
        close: () => held.conversation?.close(),
        revoke: () => held.conversation?.revoke(),
        authorization: request.headers.authorization,
      });
      response.once("close", leave);
      // Messages may come to any replica, from the handshake on.
      await replicas.claim(session);
    } catch (error) {
      sessions.end(session);
      throw error;
    }
    if (response.destroyed) return sessions.end(session);
    const endpoint = `${messagesPath}?sessionId=${session.id}`;
    const channel = new SseChannel(response, endpoint, limits.streamBufferBytes);
    const conversation = new Conversation(this.#deps, channel, session);
    held.conversation = conversation;
    this.#conversations.set(session.id, conversation);
    response.once("close", () => {
      this.#conversations.delete(session.id);
      conversation.leave();
    });
    heartbeat.addStream(response);
  }

  async #take(
    incoming: SseRequest,
    principal: Principal,
    message: ConversationMessage,
    { reply, meter }: { readonly reply: RpcReply; readonly meter: MessageMeter },
  ): Promise<void> {
    const { request, target: targetOf, forwarded } = incoming;
    const { sessions, clientAddress } = this.#deps;
    const target = targetOf(principal);
    const id = new URL(request.url ?? "", "http://gateway").searchParams.get("sessionId");
    if (id === null) throw new WireError("invalid_request", "The query names no sessionId.");
    const clientIp = forwarded?.clientIp ?? clientAddress(request);
    if ((await this.#elsewhere(id, incoming, principal, clientIp, message)) === "answered") return;
    const session = sessions.get(id, principal, target);
    const conversation = this.#conversations.get(id);
    if (conversation === undefined) {
      // Taken over from a replica that is gone, and with it the stream.
      sessions.end(session);
      throw new GatewayError("not_found", "the stream of this session is gone; open another");
    }
    reply.accepted();
    const identify = async () => ({ principal, target });
    const speaker = { user: principal.key, headers: request.headers, clientIp, identify };
    await conversation.take(message, speaker, meter);
  }

  /** Has a message taken by the replica that holds the stream. */
  async #elsewhere(
    sessionId: string,
    { request, response, requestId, forwarded }: SseRequest,
    principal: Principal,
    clientIp: string,
    message: ConversationMessage,
  ): Promise<"here" | "answered"> {
    const { replicas } = this.#deps;
    if (forwarded !== undefined || replicas.isHere(sessionId)) return "here";
    const { bytes: body } = message;
    const idText = message.kind === "request" ? textOf(body, message.idSpan) : undefined;
    return replicas.route(sessionId, { request, response, body, principal, clientIp, requestId, idText });
  }
}
