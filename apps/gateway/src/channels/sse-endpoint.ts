import type { IncomingMessage, ServerResponse } from "node:http";
import { DEFAULT_LEGACY, textOf, WireError } from "@gatewright/mcp-bridge";
import { type Authenticator, requireScope } from "../auth/authenticator.ts";
import type { Principal } from "../auth/principal.ts";
import type { Target } from "../calls/target.ts";
import { GatewayError } from "../errors.ts";
import { checkMediaType } from "../http/check-media-type.ts";
import { readBody } from "../http/read-body.ts";
import { RpcReply } from "../http/rpc-reply.ts";
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
  readonly authenticator: Authenticator;
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
  /** `stream`: the client opens its stream (GET). `message`: it sends one message (POST). */
  readonly purpose: "stream" | "message";
  /** Finds the target, for a principal that may use it. */
  readonly target: (principal: Principal) => Target;
  /** Path under which messages are taken, as the client sees it. */
  readonly messagesPath: string;
}

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
    const { request, response, requestId, purpose } = incoming;
    const deps = this.#deps;
    const { streamBufferBytes: maxBufferedBytes } = deps.limits;
    const reply = new RpcReply(response, { streamable: false, maxBufferedBytes });
    let idText = "null";
    try {
      deps.guard(request);
      if (request.method !== methods[purpose]) {
        reply.setHeader("allow", methods[purpose]);
        throw new WireError("method_not_allowed", `${request.method} is not served here.`);
      }
      if (request.headers[hopHeader]?.includes(deps.hopId) === true) throw loopRefusal();
      const principal = await deps.authenticator.authenticate(request.headers.authorization);
      requireScope(principal, "mcp");
      if (purpose === "stream") return this.#open(incoming, principal);
      checkMediaType(request.headers);
      const body = await readBody(request, deps.limits.bodyBytes);
      const message = readMessage(body, deps.limits);
      if (message.kind === "request") idText = textOf(message.bytes, message.idSpan);
      await this.#take(incoming, principal, message, reply);
    } catch (error) {
      if (GatewayError.is(error) && error.code === "unauthorized") {
        reply.setHeader("www-authenticate", deps.challenge(request));
      } else if (!GatewayError.is(error) && !WireError.is(error)) deps.onFailure(error, requestId);
      reply.fail(error, idText, requestId);
    }
  }

  #open({ response, target: targetOf, messagesPath }: SseRequest, principal: Principal): void {
    const { sessions, channels, heartbeat, limits } = this.#deps;
    const target = targetOf(principal);
    const session = sessions.open(principal, target, unknownClient);
    const endpoint = `${messagesPath}?sessionId=${session.id}`;
    const held: { conversation?: Conversation } = {};
    try {
      const leave = channels.add("sse", principal, {
        drain: () => held.conversation?.drain(),
        close: () => held.conversation?.close(),
      });
      response.once("close", leave);
    } catch (error) {
      sessions.end(session);
      throw error;
    }
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
    reply: RpcReply,
  ): Promise<void> {
    const { request, target: targetOf } = incoming;
    const target = targetOf(principal);
    const id = new URL(request.url ?? "", "http://gateway").searchParams.get("sessionId");
    if (id === null) throw new WireError("invalid_request", "The query names no sessionId.");
    this.#deps.sessions.get(id, principal, target);
    const conversation = this.#conversations.get(id);
    if (conversation === undefined) throw new GatewayError("not_found", "this session has no stream");
    reply.accepted();
    await conversation.take(message, {
      headers: request.headers,
      clientIp: this.#deps.clientAddress(request),
      identify: async () => ({ principal, target }),
    });
  }
}
