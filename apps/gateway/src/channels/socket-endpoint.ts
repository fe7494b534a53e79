import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WireError } from "@gatewright/mcp-bridge";
import { type ServerOptions, type WebSocket, WebSocketServer } from "ws";
import type { Admission } from "../auth/admission.ts";
import type { Principal } from "../auth/principal.ts";
import type { Target } from "../calls/target.ts";
import { GatewayError } from "../errors.ts";
import { failureAnswer } from "../http/failure-answer.ts";
import type { RequestHooks } from "../http/request-hooks.ts";
import { Conversation, type ConversationDeps, readMessage, type Speaker } from "./conversation.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { OpenChannels } from "./open-channels.ts";
import { refuseUpgrade } from "./refuse-upgrade.ts";
import { SocketChannel } from "./socket-channel.ts";

/** What the WebSocket endpoint works with. */
export interface SocketEndpointDeps extends ConversationDeps {
  readonly admission: Admission;
  readonly hooks: RequestHooks;
  readonly channels: OpenChannels;
  readonly heartbeat: Heartbeat;
  readonly guard: (request: IncomingMessage) => void;
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly challenge: (request: IncomingMessage) => string;
  readonly limits: ConversationDeps["limits"] & { readonly streamBufferBytes: number };
  /** The target of a path, for a principal that may use it; undefined when no WebSocket is served there. */
  readonly targetOf: (path: string) => ((principal: Principal) => Target) | undefined;
}

/** How long a client has to answer the closing handshake before its connection is cut. */
const closeTimeoutMs = 2_000;

/**
 * Most frames that a message may come in, and most chunks that wait to be read: each is an object of its own, and counts
 * only by its bytes.
 */
const pieces = { maxFragments: 4_096, maxBufferedChunks: 16_384 };

/** The subprotocol that MCP clients ask for. */
const subprotocol = "mcp";

/** Serves MCP over WebSocket: one JSON-RPC message a text frame, both ways. */
export class SocketEndpoint {
  readonly #deps: SocketEndpointDeps;
  readonly #server: WebSocketServer;

  constructor(deps: SocketEndpointDeps) {
    this.#deps = deps;
    const options: ServerOptions & typeof pieces & { readonly closeTimeout: number } = {
      ...pieces,
      noServer: true,
      clientTracking: false,
      maxPayload: deps.limits.bodyBytes,
      closeTimeout: closeTimeoutMs,
      handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false),
    };
    this.#server = new WebSocketServer(options);
    this.#server.on("wsClientError", (error, socket, request) =>
      this.#refuse(new WireError("invalid_request", error.message), request, socket),
    );
  }

  /** Takes a request to upgrade, or refuses it as an HTTP request is refused. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const onError = () => socket.destroy();
    socket.on("error", onError);
    try {
      const { headers } = request;
      this.#deps.guard(request);
      const path = request.url?.split("?", 1)[0] ?? "";
      const targetOf = this.#deps.targetOf(path);
      if (targetOf === undefined) throw new GatewayError("not_found", `no WebSocket is served at ${path}`);
      if (request.method !== "GET") throw new WireError("method_not_allowed", "A WebSocket begins with GET.");
      if (this.#deps.hooks.wanted) await this.#deps.hooks.begin(request);
      const identify = async () => {
        const principal = await this.#deps.admission.admit(request, "mcp");
        return { principal, target: targetOf(principal) };
      };
      const { principal } = await identify();
      if (socket.destroyed) return;
      // The place is taken before the handshake, which is the client's last chance to hear an HTTP status.
      const held: { conversation?: Conversation } = {};
      const leave = this.#deps.channels.add("websocket", principal, {
        drain: () => held.conversation?.drain(),
        close: () => held.conversation?.close(),
        revoke: () => held.conversation?.revoke(),
        authorization: headers.authorization,
      });
      socket.once("close", leave);
      socket.off("error", onError);
      this.#server.handleUpgrade(request, socket, head, (opened) => {
        const clientIp = this.#deps.clientAddress(request);
        held.conversation = this.#converse(opened, { user: principal.key, headers, clientIp, identify });
      });
    } catch (error) {
      this.#refuse(error, request, socket);
    }
  }

  #refuse(error: unknown, request: IncomingMessage, socket: Duplex): void {
    const requestId = this.#deps.nextRequestId();
    if (!WireError.is(error) && !GatewayError.is(error)) this.#deps.onFailure(error, requestId);
    const unauthorized = GatewayError.is(error) && error.code === "unauthorized";
    const challenge = unauthorized ? this.#deps.challenge(request) : undefined;
    refuseUpgrade(socket, failureAnswer(error, "null", requestId), challenge);
  }

  #converse(socket: WebSocket, speaker: Speaker): Conversation {
    const channel = new SocketChannel(socket, this.#deps.limits.streamBufferBytes);
    const conversation = new Conversation(this.#deps, channel);
    const rest = this.#deps.heartbeat.add(() => channel.ping());
    socket.on("message", (data, isBinary) => {
      channel.heard();
      try {
        if (isBinary) throw new WireError("parse_error", "Messages are sent as text frames.");
        void conversation.take(readMessage(data as Buffer, this.#deps.limits), speaker);
      } catch (error) {
        conversation.refuse(error, "null");
      }
    });
    socket.on("pong", () => channel.heard());
    // What breaks the framing ends the socket by itself, with a code that says so.
    socket.on("error", () => undefined);
    socket.once("close", () => {
      rest();
      conversation.close();
    });
    return conversation;
  }
}
