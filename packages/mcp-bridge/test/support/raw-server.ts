import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** One request as the server saw it. */
export interface Seen {
  readonly method: string;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  readonly body: {
    readonly id?: unknown;
    readonly method?: string;
    readonly params?: Record<string, unknown>;
  };
}

export type Handler = (seen: Seen, response: ServerResponse, request: IncomingMessage) => unknown;

/** A bare node:http server with one handler, which records what it receives. */
export async function startRawServer(handler: Handler, port = 0) {
  const seen: Seen[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString("utf8");
      const body = text === "" ? {} : (JSON.parse(text) as Seen["body"]);
      const entry = { method: request.method ?? "", headers: request.headers, text, body };
      seen.push(entry);
      void handler(entry, response, request);
    });
    request.on("error", () => undefined);
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const address = server.address() as AddressInfo;
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return {
    url: `http://127.0.0.1:${address.port}/mcp`,
    port: address.port,
    seen,
    sockets,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Answers with JSON. */
export function json(response: ServerResponse, value: unknown, status = 200, headers = {}): void {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(text);
}

/** A JSON-RPC result. */
export const result = (id: unknown, value: unknown) => ({ jsonrpc: "2.0", id, result: value });

/** A JSON-RPC error. */
export const failure = (id: unknown, code: number, message = "no", data?: unknown) => ({
  jsonrpc: "2.0",
  id,
  error: { code, message, ...(data !== undefined && { data }) },
});

export const CLIENT = { clientInfo: { name: "test", version: "1" }, capabilities: {} } as const;

/** Wraps a handler of ordinary requests in the legacy handshake with session ids. */
export function legacyHandler(
  handler: Handler,
  options: { sessions?: boolean; stream?: Handler } = {},
): Handler {
  let sessions = 0;
  return (seen, response, request) => {
    if (seen.method === "DELETE") return response.writeHead(200).end();
    if (seen.method === "GET") {
      if (options.stream) return options.stream(seen, response, request);
      return response.writeHead(405).end();
    }
    if (seen.body.method === "server/discover") return json(response, failure(seen.body.id, -32601), 400);
    if (seen.body.method === "initialize") {
      const value = {
        protocolVersion: seen.body.params?.["protocolVersion"],
        capabilities: { tools: { listChanged: true } },
        serverInfo: { name: "raw", version: "7" },
        instructions: "be kind",
      };
      const headers = options.sessions === false ? {} : { "mcp-session-id": `s-${++sessions}` };
      return json(response, result(seen.body.id, value), 200, headers);
    }
    if (seen.body.id === undefined || seen.body.method === undefined) return response.writeHead(202).end();
    return handler(seen, response, request);
  };
}

/** Wraps a handler of ordinary requests in `server/discover`. */
export function modernHandler(handler: Handler): Handler {
  return (seen, response, request) => {
    if (seen.body.method !== "server/discover") return handler(seen, response, request);
    const value = {
      resultType: "complete",
      supportedVersions: ["2026-07-28"],
      capabilities: { tools: {} },
      _meta: { "io.modelcontextprotocol/serverInfo": { name: "raw", version: "8" } },
      ttlMs: 0,
      cacheScope: "public",
    };
    return json(response, result(seen.body.id, value));
  };
}
