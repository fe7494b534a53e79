import type { ServerResponse } from "node:http";
import {
  type BatchMessage,
  checkHeaders,
  classifyEra,
  encodeResultBody,
  type NotificationMessage,
  parseMessage,
  type RequestMessage,
  type ResponseMessage,
  textOf,
  WireError,
} from "@gatewright/mcp-bridge";
import type { Principal } from "../auth/principal.ts";
import type { Target } from "../calls/target.ts";
import { GatewayError } from "../errors.ts";
import { checkMediaType } from "../http/check-media-type.ts";
import type { MessageMeter } from "../http/held-messages.ts";
import { readBody } from "../http/read-body.ts";
import { RpcReply } from "../http/rpc-reply.ts";
import { StreamStarts } from "../http/stream-starts.ts";
import { hopHeader, loopRefusal } from "../upstreams/hop.ts";
import { edgeOf, elsewhere, sessionIdOf } from "./edge.ts";
import { eraRefusal } from "./era-refusal.ts";
import type { Exchange } from "./exchange.ts";
import { helloOf, initialize, ownHandshake } from "./initialize.ts";
import type { McpEndpointDeps, McpRequest } from "./mcp-request.ts";
import { runExchange } from "./run-exchange.ts";
import { serveBatch } from "./serve-batch.ts";
import { serveStream } from "./serve-stream.ts";
import { endsSomething, takeOneWay } from "./take-one-way.ts";

/** Serves MCP over HTTP. Every answer is valid JSON-RPC with an id. */
export class McpEndpoint {
  readonly #deps: McpEndpointDeps;
  readonly #limits: { readonly maxBytes: number; readonly maxDepth: number };
  readonly #starts: StreamStarts;

  constructor(deps: McpEndpointDeps) {
    this.#deps = deps;
    this.#limits = { maxBytes: deps.limits.bodyBytes, maxDepth: deps.limits.jsonDepth };
    this.#starts = new StreamStarts(deps.limits.streamAfterMs);
  }

  /** Serves one request; resolves when its answer has been written. */
  async serve(incoming: McpRequest): Promise<void> {
    const { request, response, transport, forwarded } = incoming;
    const { headers } = request;
    const reply = new RpcReply(response, {
      streamable: transport === "streamable" && (headers.accept?.includes("text/event-stream") ?? false),
      maxBufferedBytes: this.#deps.limits.streamBufferBytes,
      keepAliveMs: this.#deps.limits.streamKeepAliveMs,
      starts: this.#starts,
    });
    let idText = "null";
    let meter: MessageMeter | undefined;
    try {
      if (forwarded === undefined) this.#deps.guard(request);
      if (!isServed(request.method, transport)) {
        throw new WireError("method_not_allowed", `${request.method} is not served here.`);
      }
      // A circle of gateways is told apart before the token: its first registration has none.
      const looped = forwarded === undefined && headers[hopHeader]?.includes(this.#deps.hopId) === true;
      if (looped && request.method === "POST") {
        const message = parseMessage(await readBody(request, this.#limits.maxBytes), this.#limits);
        if (message.kind === "request") idText = textOf(message.bytes, message.idSpan);
      }
      if (looped) throw loopRefusal();
      const known = forwarded?.principal ?? this.#deps.admission.admit(request, "mcp");
      const principal = "then" in known ? await known : known;
      if (request.method !== "POST") {
        return await serveStream(this.#deps, incoming, reply, principal, incoming.target(principal));
      }
      checkMediaType(headers);
      meter = this.#deps.held.meter(principal.key);
      const body = forwarded?.body ?? (await readBody(request, this.#limits.maxBytes, meter));
      if (forwarded !== undefined) meter.read(body.length);
      const message = parseMessage(body, this.#limits);
      if (message.kind === "request") idText = textOf(message.bytes, message.idSpan);
      if (!endsSomething(message)) meter.keep();
      const target = incoming.target(principal);
      if (message.kind === "batch") return await this.#batch(incoming, reply, principal, target, message);
      await (transport === "plain"
        ? this.#plain(incoming, reply, principal, target, message, idText)
        : this.#streamable(incoming, reply, principal, target, message, idText));
    } catch (error) {
      this.#fail(incoming, reply, error, idText);
    } finally {
      meter?.release();
    }
  }

  async #streamable(
    incoming: McpRequest,
    reply: RpcReply,
    principal: Principal,
    target: Target,
    message: RequestMessage | NotificationMessage | ResponseMessage,
    idText: string,
  ): Promise<void> {
    const { headers } = incoming.request;
    const verdict = classifyEra(headers, message);
    if (verdict.era === "refused") throw eraRefusal(this.#deps, headers, target, message) ?? verdict.error;
    const call = { principal, target, era: verdict.era, session: undefined, idText };
    if (verdict.era === "modern") {
      if (message.kind !== "request") return reply.accepted();
      const refusal = checkHeaders(headers, message);
      if (refusal !== undefined) throw refusal;
      return this.#exchange(incoming, reply, { ...call, message });
    }
    if (message.kind === "request" && message.method === "initialize") {
      return this.#initialize(reply, { principal, target, message, idText });
    }
    const id = sessionIdOf(incoming.request);
    const away = elsewhere(this.#deps, id, incoming, principal, message);
    if (away !== undefined && (await away) === "answered") return;
    const session = this.#deps.sessions.get(id, principal, target);
    if (message.kind === "request") return this.#exchange(incoming, reply, { ...call, session, message });
    return takeOneWay(session, message).then(() => reply.accepted());
  }

  async #batch(
    incoming: McpRequest,
    reply: RpcReply,
    principal: Principal,
    target: Target,
    message: BatchMessage,
  ): Promise<void> {
    const { headers } = incoming.request;
    const verdict = classifyEra(headers, message);
    if (verdict.era === "refused") throw verdict.error;
    const { onFailure, clientAddress, sessions } = this.#deps;
    const id = incoming.transport === "plain" ? undefined : sessionIdOf(incoming.request);
    const away = id === undefined ? undefined : elsewhere(this.#deps, id, incoming, principal, message);
    if (away !== undefined && (await away) === "answered") return;
    const control = id === undefined ? new AbortController() : undefined;
    if (control !== undefined) endWith(incoming.response, control);
    await serveBatch(this.#deps, message, {
      principal,
      target,
      session: id === undefined ? undefined : sessions.get(id, principal, target),
      reply,
      headers,
      clientIp: incoming.forwarded?.clientIp ?? clientAddress(incoming.request),
      requestId: incoming.requestId,
      ...(control && { control }),
      onFailure,
    });
  }

  async #initialize(reply: RpcReply, request: Parameters<typeof initialize>[1]): Promise<void> {
    const { body, session } = await initialize(this.#deps, request);
    reply.setHeader("mcp-session-id", session.id);
    reply.answer(body);
  }

  async #plain(
    incoming: McpRequest,
    reply: RpcReply,
    principal: Principal,
    target: Target,
    message: RequestMessage | NotificationMessage | ResponseMessage,
    idText: string,
  ): Promise<void> {
    if (message.kind !== "request") return reply.accepted();
    if (message.method === "initialize") {
      const result = await ownHandshake(this.#deps, target, helloOf(message));
      return reply.answer(encodeResultBody(idText, JSON.stringify(result)));
    }
    return this.#exchange(incoming, reply, {
      principal,
      target,
      era: "plain",
      session: undefined,
      message,
      idText,
    });
  }

  async #exchange(
    incoming: McpRequest,
    reply: RpcReply,
    what: Pick<Exchange, "principal" | "target" | "era" | "session" | "message" | "idText">,
  ): Promise<void> {
    const { request, response, requestId } = incoming;
    const control = new AbortController();
    const { session, idText } = what;
    if (session !== undefined) {
      reply.resumable((opened) => session.openAnswer(opened, idText));
    } else {
      endWith(response, control);
    }
    const { forwarded } = incoming;
    const forwardTo = (replica: string) =>
      this.#deps.replicas.forward(replica, edgeOf(this.#deps, incoming, what.principal, what.message));
    await runExchange(this.#deps, control, {
      target: what.target,
      principal: what.principal,
      era: what.era,
      session,
      message: what.message,
      idText,
      reply,
      headers: request.headers,
      clientIp: forwarded?.clientIp ?? this.#deps.clientAddress(request),
      requestId,
      ...(forwarded === undefined && { forwardTo }),
      signal: control.signal,
    });
  }

  #fail(incoming: McpRequest, reply: RpcReply, error: unknown, idText: string): void {
    if (GatewayError.is(error)) {
      if (error.code === "unauthorized")
        reply.setHeader("www-authenticate", this.#deps.challenge(incoming.request));
    } else if (WireError.is(error)) {
      if (error.code === "method_not_allowed") reply.setHeader("allow", allowedAt(incoming));
    } else this.#deps.onFailure(error, incoming.requestId);
    reply.fail(error, idText, incoming.requestId);
  }
}

/** The client's leaving before the answer is out is a cancellation. */
function endWith(response: ServerResponse, control: AbortController): void {
  response.once("close", () => {
    if (!response.writableFinished) control.abort();
  });
}

function isServed(method: string | undefined, transport: McpRequest["transport"]): boolean {
  return method === "POST" || (transport === "streamable" && (method === "GET" || method === "DELETE"));
}

/** The methods to name where another was refused; modern revisions have POST only. */
function allowedAt({ request, transport }: McpRequest): string {
  return isServed(request.method, transport) || transport === "plain" ? "POST" : "GET, POST, DELETE";
}
