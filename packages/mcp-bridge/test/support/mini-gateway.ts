import { randomBytes, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import {
  type Bridge,
  createBridge,
  createNotificationHub,
  encodeAcknowledged,
  type Listener,
  readFilter,
  readLogLevel,
  type SubscriptionFilter,
  withSubscriptionId,
} from "../../src/bridge/index.ts";
import {
  checkHeaders,
  classifyEra,
  encodeErrorBody,
  encodeResultBody,
  encodeSse,
  encodeWireError,
  type JsonObject,
  META,
  negotiateLegacy,
  parseMessage,
  type RequestMessage,
  SUPPORTED_REVISIONS,
  splice,
  textOf,
  WireError,
} from "../../src/index.ts";
import {
  createHttpUpstream,
  type Implementation,
  type Upstream,
  UpstreamError,
  type UpstreamMessage,
  type UpstreamSession,
} from "../../src/upstream/index.ts";

/** A legacy client's session. */
interface Client {
  readonly id: string;
  readonly upstream: UpstreamSession;
  readonly clientInfo: Implementation;
  readonly capabilities: JsonObject;
  /** Questions that went to the client, by the id it saw. */
  readonly questions: Map<string, (raw: string, isError: boolean) => void>;
  readonly listeners: Map<string, Listener>;
  stream: ServerResponse | undefined;
  logLevel: string | undefined;
}

/** The smallest gateway that the package makes possible: one upstream, any client, any combination of revisions. */
export async function startMiniGateway(url: string) {
  const gateway = new MiniGateway(createHttpUpstream({ url }));
  const server = createServer((request, response) => {
    gateway.serve(request, response).catch((error: unknown) => fail(response, "null", error));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    bridge: gateway.bridge,
    async [Symbol.asyncDispose]() {
      gateway.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

class MiniGateway {
  readonly bridge: Bridge = createBridge({ secret: randomBytes(32) });
  readonly #upstream: Upstream;
  readonly #clients = new Map<string, Client>();
  readonly #sessions = new Map<string, Promise<UpstreamSession>>();
  readonly #hub;

  constructor(upstream: Upstream) {
    this.#upstream = upstream;
    this.#hub = createNotificationHub({
      open: (_id, { onMessage, signal }) =>
        upstream.open({ clientInfo: { name: "hub", version: "1" }, capabilities: {}, onMessage, signal }),
    });
  }

  close(): void {
    this.#hub.close();
    this.bridge.close();
    void this.#upstream.close();
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const host = request.headers.host ?? "";
    const origin = request.headers.origin;
    if (
      !/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(host) ||
      (origin && !/^https?:\/\/(127\.0\.0\.1|localhost)/.test(origin))
    ) {
      return end(response, 403, encodeErrorBody({ idText: "null", code: -31005, message: "Forbidden" }));
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    try {
      const message = request.method === "POST" ? parseMessage(Buffer.concat(chunks)) : undefined;
      const verdict = classifyEra(request.headers, message, await this.#supported());
      if (verdict.era === "refused") throw verdict.error;
      if (message === undefined) return this.#legacyWithoutBody(request, response);
      if (message.kind === "batch") throw new WireError("invalid_request", "No batches here.");
      if (verdict.era === "modern") {
        if (message.kind !== "request") return end(response, 202);
        const mismatch = checkHeaders(request.headers, message);
        if (mismatch) throw mismatch;
        return await this.#modern(message, request, response);
      }
      if (message.kind === "request" && message.method === "initialize")
        return await this.#initialize(message, response);
      const client = this.#clientOf(request);
      if (typeof client === "number") return fail(response, "null", undefined, client);
      if (message.kind === "response") {
        const raw = textOf(message.bytes, message.valueSpan);
        client.questions.get(String(message.id))?.(raw, message.outcome === "error");
        return end(response, 202);
      }
      if (message.kind === "notification") return end(response, 202);
      return await this.#legacy(client, message, response);
    } catch (error) {
      fail(response, "null", error);
    }
  }

  /** What `server/discover` names: a stateless server's own list is passed on unchanged. */
  async #supported(): Promise<readonly string[]> {
    const session = await this.#sessionFor({ name: "gateway", version: "1" }, {});
    const own = session.handshake["supportedVersions"];
    return session.era === "modern" && Array.isArray(own) ? own : SUPPORTED_REVISIONS;
  }

  // Stateless clients.

  async #modern(message: RequestMessage, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const idText = textOf(message.bytes, message.idSpan);
    const meta = message.params?.["_meta"] as JsonObject;
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const session = await this.#sessionFor(
      (meta[META.clientInfo] ?? { name: "x", version: "0" }) as Implementation,
      meta[META.clientCapabilities] as JsonObject,
    );
    try {
      if (message.method === "subscriptions/listen") return await this.#listen(message, idText, response);
      if (message.method === "server/discover" && session.era === "legacy") {
        return end(
          response,
          200,
          encodeResultBody(idText, JSON.stringify(this.bridge.discoverResult(session))),
        );
      }
      const stream = lazyStream(response);
      const options = { principal: "p", timeoutMs: 10_000, signal: gone.signal, onNotification: stream.send };
      if (session.era === "modern") {
        const headers = Object.fromEntries(
          Object.entries(request.headers).filter(([name]) => name.startsWith("mcp-param-")),
        ) as Record<string, string>;
        const params =
          message.paramsSpan && message.bytes.subarray(message.paramsSpan.start, message.paramsSpan.end);
        const answer = await session.request(
          { method: message.method, params, extras: message.extras, headers },
          { signal: gone.signal, onMessage: (note) => stream.send(note.bytes) },
        );
        return stream.finish(answer.withId(idText), answer.httpStatus);
      }
      if (message.params?.["requestState"] !== undefined) {
        const claim = this.bridge.claim(message, options);
        if (claim.kind !== "here") throw new Error("There is one replica only.");
        const resumed = await claim.proceed(options);
        return stream.finish(resumed.withId(idText), resumed.httpStatus);
      }
      const answer = await this.bridge.forwardModern(session, message, options);
      return stream.finish(answer.withId(idText), answer.httpStatus);
    } catch (error) {
      fail(response, idText, error);
    }
  }

  #sessionFor(clientInfo: Implementation, capabilities: JsonObject): Promise<UpstreamSession> {
    const key = JSON.stringify([clientInfo, capabilities]);
    const known = this.#sessions.get(key);
    if (known) return known;
    const opening: Promise<UpstreamSession> = this.#upstream.open({
      clientInfo,
      capabilities,
      onMessage: (message) => {
        void opening.then((session) => this.bridge.offer(session, message));
      },
    });
    this.#sessions.set(key, opening);
    return opening;
  }

  async #listen(message: RequestMessage, idText: string, response: ServerResponse): Promise<void> {
    const filter = readFilter(message.params?.["notifications"]);
    const stream = lazyStream(response);
    const listener = this.#hub.listen({
      filters: new Map([["up", filter]]),
      onNotification: (_id, note) => stream.send(withSubscriptionId(note, idText)),
    });
    response.on("close", () => listener?.close());
    const honoured = (await listener?.acknowledged)?.get("up") ?? {};
    stream.send(Buffer.from(encodeAcknowledged(idText, honoured)));
  }

  // Clients with sessions.

  #clientOf(request: IncomingMessage): Client | number {
    const id = request.headers["mcp-session-id"];
    if (typeof id !== "string") return 400;
    return this.#clients.get(id) ?? 404;
  }

  #legacyWithoutBody(request: IncomingMessage, response: ServerResponse): void {
    const client = this.#clientOf(request);
    if (typeof client === "number") fail(response, "null", undefined, client);
    else if (request.method === "DELETE") {
      this.#clients.delete(client.id);
      void client.upstream.close();
      end(response, 200);
    } else {
      response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      client.stream = response;
    }
  }

  async #initialize(message: RequestMessage, response: ServerResponse): Promise<void> {
    const idText = textOf(message.bytes, message.idSpan);
    const hello = message.params as {
      protocolVersion?: string;
      clientInfo: Implementation;
      capabilities: JsonObject;
    };
    const clientInfo = hello.clientInfo ?? { name: "x", version: "0" };
    const capabilities = hello.capabilities ?? {};
    const protocolVersion = negotiateLegacy(hello.protocolVersion);
    let client: Client | undefined;
    const upstream = await this.#upstream.open({
      clientInfo,
      capabilities,
      protocolVersion,
      onMessage: (note) =>
        client && this.#relay(client, note, (bytes) => client?.stream?.write(encodeSse({ data: bytes }))),
    });
    const id = randomUUID();
    client = {
      id,
      upstream,
      clientInfo,
      capabilities,
      questions: new Map(),
      listeners: new Map(),
      stream: undefined,
      logLevel: undefined,
    };
    this.#clients.set(id, client);
    const handshake =
      upstream.era === "legacy"
        ? upstream.handshake
        : this.bridge.initializeResult(upstream, protocolVersion);
    response.setHeader("mcp-session-id", id);
    end(response, 200, encodeResultBody(idText, JSON.stringify(handshake)));
  }

  async #legacy(client: Client, message: RequestMessage, response: ServerResponse): Promise<void> {
    const idText = textOf(message.bytes, message.idSpan);
    const { method } = message;
    const { upstream } = client;
    const stream = lazyStream(response);
    try {
      if (method === "ping") return end(response, 200, encodeResultBody(idText, "{}"));
      if (upstream.era === "legacy") {
        const params = message.paramsSpan && textOf(message.bytes, message.paramsSpan);
        const answer = await upstream.request(
          { method, params, extras: message.extras },
          { onMessage: (note) => this.#relay(client, note, stream.send) },
        );
        return stream.finish(answer.withId(idText), 200);
      }
      if (method === "logging/setLevel") {
        client.logLevel = readLogLevel(message.params?.["level"]);
        return end(response, 200, encodeResultBody(idText, "{}"));
      }
      if (method === "resources/subscribe" || method === "resources/unsubscribe") {
        await this.#subscribe(client, String(message.params?.["uri"]), method === "resources/subscribe");
        return end(response, 200, encodeResultBody(idText, "{}"));
      }
      const answer = await this.bridge.forwardLegacy(upstream, message, {
        client,
        logLevel: client.logLevel,
        timeoutMs: 10_000,
        ask: ({ method: asked, params }) => this.#ask(client, asked, params, stream.send),
        onMessage: (note) => stream.send(note.bytes),
      });
      stream.finish(answer.withId(idText), 200);
    } catch (error) {
      fail(response, idText, error);
    }
  }

  async #subscribe(client: Client, uri: string, on: boolean): Promise<void> {
    client.listeners.get(uri)?.close();
    client.listeners.delete(uri);
    if (!on) return;
    const filters = new Map<string, SubscriptionFilter>([["up", { resourceSubscriptions: [uri] }]]);
    const onNotification = (_id: string, note: UpstreamMessage) =>
      client.stream?.write(encodeSse({ data: note.bytes }));
    const listener = this.#hub.listen({ filters, onNotification });
    if (listener) client.listeners.set(uri, listener);
    await listener?.acknowledged;
  }

  #relay(client: Client, message: UpstreamMessage, send: (bytes: Buffer) => void): void {
    if (message.kind === "notification") {
      send(message.bytes);
      return;
    }
    const id = randomUUID();
    const idText = textOf(message.bytes, message.idSpan);
    client.questions.set(id, (raw, isError) => {
      void client.upstream.respond(isError ? { idText, error: raw } : { idText, result: raw });
    });
    send(splice(message.bytes, [{ ...message.idSpan, text: `"${id}"` }]));
  }

  #ask(
    client: Client,
    method: string,
    params: string | undefined,
    send: (bytes: Buffer) => void,
  ): Promise<string> {
    const id = randomUUID();
    return new Promise((resolve, reject) => {
      client.questions.set(id, (raw, isError) => (isError ? reject(new Error(raw)) : resolve(raw)));
      send(
        Buffer.from(
          `{"jsonrpc":"2.0","id":"${id}","method":"${method}"${params === undefined ? "" : `,"params":${params}`}}`,
        ),
      );
    });
  }
}

/** An answer that becomes an event stream with its first message before the end, and is plain JSON without one. */
function lazyStream(response: ServerResponse) {
  let streaming = false;
  return {
    send: (bytes: Buffer) => {
      if (!streaming) response.writeHead(200, { "content-type": "text/event-stream" });
      streaming = true;
      response.write(encodeSse({ event: "message", data: bytes }));
    },
    finish: (bytes: Buffer, status: number) => {
      if (streaming) response.end(encodeSse({ event: "message", data: bytes }));
      else end(response, status, bytes);
    },
  };
}

function end(response: ServerResponse, status: number, body?: string | Buffer): void {
  if (body !== undefined) response.setHeader("content-type", "application/json");
  response.writeHead(status).end(body);
}

function fail(response: ServerResponse, idText: string, error: unknown, status = 500): void {
  if (response.writableEnded) return;
  if (WireError.is(error)) {
    end(response, error.httpStatus, encodeWireError(error));
    return;
  }
  const message = error instanceof Error ? error.message : "No session.";
  const body = encodeErrorBody({ idText, code: UpstreamError.is(error) ? -31002 : -32603, message });
  if (response.headersSent) response.end(encodeSse({ data: body }));
  else end(response, status === 500 ? 200 : status, body);
}
