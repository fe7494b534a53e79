import { once } from "node:events";
import type { JSONRPCMessage, Transport } from "@modelcontextprotocol/client";
import { WebSocket } from "ws";

/** The official client's transport over a WebSocket: one message a frame. */
export class SocketTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage) => void;
  readonly #url: string;
  readonly #token: string;
  #socket: WebSocket | undefined;

  constructor(url: string, token: string) {
    this.#url = url.replace("http", "ws");
    this.#token = token;
  }

  async start(): Promise<void> {
    const headers = { authorization: `Bearer ${this.#token}` };
    const socket = new WebSocket(this.#url, "mcp", { headers });
    this.#socket = socket;
    socket.on("message", (data) => this.onmessage?.(JSON.parse(data.toString()) as JSONRPCMessage));
    socket.on("close", () => this.onclose?.());
    socket.on("error", (error) => this.onerror?.(error));
    await once(socket, "open");
  }

  async send(message: JSONRPCMessage): Promise<void> {
    this.#socket?.send(JSON.stringify(message));
  }

  async close(): Promise<void> {
    this.#socket?.close();
  }
}
