import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { eventually } from "@gatewright/testkit";
import { WebSocket } from "ws";
import type { TestGateway } from "./test-gateway.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests look into messages of any shape.
type Message = any;

/** A client of the WebSocket surface. */
export interface SocketClient {
  readonly socket: WebSocket;
  /** What came, in order. */
  readonly messages: readonly Message[];
  /** Sends a value as JSON, or a text as it is. */
  send(message: unknown): void;
  /** Sends a request and waits for its answer. */
  ask(message: Record<string, unknown>): Promise<Message>;
  /** The first message that a test looks for. */
  find(matches: (message: Message) => boolean): Promise<Message>;
  /** How the socket was closed. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Connects; `token` is the gateway's own unless another, or none, is given. */
export async function openSocket(
  gateway: TestGateway,
  path = "/ws",
  options: {
    readonly token?: string;
    readonly headers?: Record<string, string>;
    readonly protocol?: string;
  } = {},
): Promise<SocketClient> {
  const socket = connectSocket(gateway, path, options);
  const messages: Message[] = [];
  socket.on("message", (data, isBinary) => {
    if (isBinary) throw new Error("a binary frame came");
    messages.push(JSON.parse(data.toString()));
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.once("close", (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  await once(socket, "open");
  socket.on("error", () => undefined);
  const find = (matches: (message: Message) => boolean) =>
    eventually(() => {
      const found = messages.find(matches);
      if (found === undefined) throw new Error("not yet");
      return found;
    });
  const send = (message: unknown) =>
    socket.send(typeof message === "string" ? message : JSON.stringify(message));
  return {
    socket,
    messages,
    send,
    find,
    closed,
    ask(message) {
      send({ jsonrpc: "2.0", ...message });
      return find((answer) => answer.id === message["id"] && answer.method === undefined);
    },
    async [Symbol.asyncDispose]() {
      socket.terminate();
      await closed;
    },
  };
}

/** Asks for an upgrade that is refused; resolves with the HTTP answer. */
export async function refusedSocket(
  gateway: TestGateway,
  path = "/ws",
  options: Parameters<typeof openSocket>[2] = {},
): Promise<{
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Message;
}> {
  const socket = connectSocket(gateway, path, options);
  socket.on("error", () => undefined);
  const [, response] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
  let text = "";
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode ?? 0, headers: response.headers, body: JSON.parse(text) };
}

/** The params that make a request one of 2026-07-28. */
export function modernParams(params: Record<string, unknown> = {}): Record<string, unknown> {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": { name: "socket", version: "1" },
  };
  return { ...params, _meta: { ...meta, ...(params["_meta"] as object | undefined) } };
}

/** A handshake. */
export function hello(capabilities: object = {}, protocolVersion = "2025-11-25"): Record<string, unknown> {
  const clientInfo = { name: "socket", version: "1" };
  return { id: "hello", method: "initialize", params: { protocolVersion, capabilities, clientInfo } };
}

function connectSocket(
  gateway: TestGateway,
  path: string,
  options: NonNullable<Parameters<typeof openSocket>[2]>,
): WebSocket {
  const { token = gateway.token, headers, protocol } = options;
  const authorization = token === "" ? {} : { authorization: `Bearer ${token}` };
  const url = `${gateway.url.replace("http", "ws")}${path}`;
  return new WebSocket(url, protocol === undefined ? [] : [protocol], {
    headers: { ...authorization, ...headers },
  });
}
