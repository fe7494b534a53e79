import { createServer, type ServerResponse } from "node:http";
import { listenOnLoopback } from "./listen-on-loopback.ts";

/** How an upstream is spoken to. */
export type Dialect = "modern" | "legacy" | "sse";

/** What becomes of a tool call that was received, and counted. */
export type Fault = (response: ServerResponse, id: number) => void;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly arguments?: { readonly fault?: string; readonly by?: string } };
}

const tools = [
  { name: "pay", inputSchema: { type: "object" } },
  { name: "look", inputSchema: { type: "object" }, annotations: { readOnlyHint: true } },
];
const serverInfo = { name: "by-hand", version: "1" };
const own = { resultType: "complete", ttlMs: 0, cacheScope: "private" };

/**
 * An MCP server by hand that counts the tool calls it receives by their arguments `fault` and `by`, and does to each
 * what the first names.
 * Tools: `pay` without hints and `look`, which only reads.
 */
export async function startFaultyUpstream(dialect: Dialect, faults: Readonly<Record<string, Fault>>) {
  const received = new Map<string, number>();
  const keyOf = (fault: string, by: string) => JSON.stringify([by, fault]);
  let sessions = 0;
  let refused: number | undefined;
  const streams = new Map<string, ServerResponse>();
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://x");
    if (request.method === "GET") {
      if (dialect !== "sse") return void response.writeHead(405).end();
      const session = String(++sessions);
      streams.set(session, response);
      response.writeHead(200, { "content-type": "text/event-stream" });
      return void response.write(`event: endpoint\ndata: /messages?session=${session}\n\n`);
    }
    if (request.method === "DELETE") return void response.writeHead(200).end();
    if (dialect === "sse" && pathname !== "/messages") return void response.writeHead(405).end();
    let text = "";
    for await (const chunk of request) text += chunk;
    const { id, method, params } = JSON.parse(text || "{}") as Message;
    const events = streams.get(searchParams.get("session") ?? "");
    const send = (message: object, headers: Record<string, string> = {}) => {
      const body = JSON.stringify({ jsonrpc: "2.0", id, ...message });
      if (dialect === "sse") {
        response.writeHead(202).end();
        events?.write(`event: message\ndata: ${body}\n\n`);
      } else response.writeHead(200, { "content-type": "application/json", ...headers }).end(body);
    };
    if (id === undefined) return void response.writeHead(202).end();
    switch (method) {
      case "server/discover":
        if (dialect !== "modern") return send({ error: { code: -32601, message: "no" } });
        return send({
          result: { ...own, supportedVersions: ["2026-07-28"], capabilities: { tools: {} }, serverInfo },
        });
      case "initialize":
        if (refused !== undefined) {
          refused++;
          return void response.writeHead(503).end();
        }
        return send(
          { result: { protocolVersion: "2025-03-26", capabilities: { tools: {} }, serverInfo } },
          { "mcp-session-id": `s-${++sessions}` },
        );
      case "tools/list":
        return send({ result: { ...own, tools } });
      case "tools/call": {
        const { fault = "", by = "" } = params?.arguments ?? {};
        const key = keyOf(fault, by);
        received.set(key, (received.get(key) ?? 0) + 1);
        return faults[fault]?.(response, id);
      }
      default:
        return send({ error: { code: -32601, message: "no" } });
    }
  });
  server.keepAliveTimeout = 0;
  const listening = await listenOnLoopback(server);
  return {
    ...listening,
    url: `${listening.origin}/${dialect === "sse" ? "sse" : "mcp"}`,
    /** Tool calls that arrived with a fault, since it was asked last; of several kinds of callers, those of one. */
    received(fault: string, by = ""): number {
      const key = keyOf(fault, by);
      const count = received.get(key) ?? 0;
      received.delete(key);
      return count;
    },
    /** From now on no session is opened. */
    refuseSessions(): void {
      refused = 0;
    },
    /** How often one was asked for since. */
    refusedSessions: () => refused ?? 0,
  };
}
