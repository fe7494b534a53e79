import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import * as z from "zod";
import type { Fixture, FixtureStats, ListenOptions } from "./fixture.ts";
import { listenHttp } from "./http-listener.ts";
import { readBody } from "./read-body.ts";
import { createTraffic } from "./traffic.ts";

/** Options of {@link startLegacySdkServer}. */
export interface LegacySdkServerOptions extends ListenOptions {
  /** One JSON body for each answer instead of an SSE stream; default false, as the SDK has it. */
  readonly jsonResponses?: boolean;
}

function buildServer(): McpServer {
  const server = new McpServer({ name: "legacy-sdk-fixture", version: "1.0.0" });
  server.registerTool(
    "echo",
    {
      description: "Answers with the text it was given.",
      inputSchema: { text: z.string() },
      annotations: { readOnlyHint: true },
    },
    ({ text }) => ({ content: [{ type: "text", text }] }),
  );
  return server;
}

const parse = (bytes: Buffer): { method: string; body: unknown } => {
  try {
    const body: unknown = JSON.parse(bytes.toString("utf8"));
    return { method: String((body as { method?: unknown }).method ?? "response"), body };
  } catch {
    return { method: "invalid", body: undefined };
  }
};

/**
 * The tool `echo {text}` on the 1.x line of the official SDK, which knows nothing of 2026-07-28: a server as most
 * deployed ones are, with the answers to a modern probe that those give.
 */
export async function startLegacySdkServer(options: LegacySdkServerOptions = {}): Promise<Fixture> {
  const traffic = createTraffic();
  const sessions = new Map<string, StreamableHTTPServerTransport>();

  const openSession = async (): Promise<StreamableHTTPServerTransport> => {
    const sessionId = randomUUID();
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => sessionId,
      enableJsonResponse: options.jsonResponses ?? false,
      onsessioninitialized: () => {
        sessions.set(sessionId, transport);
        traffic.sessionOpened();
      },
    });
    transport.onclose = () => {
      if (sessions.delete(sessionId)) traffic.sessionClosed();
    };
    await buildServer().connect(transport as Parameters<McpServer["connect"]>[0]);
    return transport;
  };

  const handle = async (
    request: IncomingMessage,
    response: ServerResponse,
    body?: unknown,
  ): Promise<void> => {
    const sessionId = request.headers["mcp-session-id"];
    const transport = sessionId === undefined ? await openSession() : sessions.get(String(sessionId));
    if (transport) {
      await transport.handleRequest(request, response, body);
      return;
    }
    const error = { jsonrpc: "2.0", error: { code: -32001, message: "Session not found" }, id: null };
    response.writeHead(404, { "content-type": "application/json" }).end(JSON.stringify(error));
  };

  const mcp = (request: IncomingMessage, response: ServerResponse): void => {
    if (request.method !== "POST") {
      traffic.count(request.method ?? "unknown");
      void handle(request, response);
      return;
    }
    readBody(request, (bytes) => {
      const { method, body } = parse(bytes);
      traffic.begin(method, response);
      void handle(request, response, body);
    });
  };

  const stats = (): FixtureStats => traffic.snapshot(listener.connections());
  const listener = await listenHttp({ mcp, report: stats }, options);
  const close = async (): Promise<void> => {
    await listener.close();
    await Promise.allSettled([...sessions.values()].map((transport) => transport.close()));
  };
  return { url: `${listener.origin}/mcp`, port: listener.port, stats, close, [Symbol.asyncDispose]: close };
}
