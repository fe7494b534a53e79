import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { toNodeHandler } from "@modelcontextprotocol/node";
import {
  createMcpHandler,
  isLegacyRequest,
  type McpHttpHandler,
  type McpServer,
  WebStandardStreamableHTTPServerTransport,
  type WebStandardStreamableHTTPServerTransportOptions,
} from "@modelcontextprotocol/server";
import type { Era, Fixture, FixtureStats, ListenOptions } from "./fixture.ts";
import { listenHttp } from "./http-listener.ts";
import { createTraffic } from "./traffic.ts";

/** What the factory is told about the instance it builds. */
export interface Serving {
  readonly era: "legacy" | "modern";
  /** Of the legacy session; absent on a modern request. */
  readonly sessionId?: string;
}

/** How an SDK server is put on HTTP. */
export interface SdkServerOptions extends ListenOptions {
  /** Default `dual`. */
  readonly era?: Era | undefined;
  /** Further options of a session's legacy transport, for example an event store. */
  readonly legacyTransport?: () => Omit<
    WebStandardStreamableHTTPServerTransportOptions,
    "sessionIdGenerator"
  >;
  /** Refuses a request before MCP sees it, or returns nothing to let it pass. */
  readonly guard?: (request: Request) => Response | undefined;
  /** What `GET /stats` answers beside the usual figures. */
  readonly report?: () => object;
  /** Called when a legacy session ends, by DELETE or by `close()` of the fixture. */
  readonly onSessionClosed?: (sessionId: string) => void;
}

/** A fixture on the official SDK, with the handler that serves its modern half. */
export interface SdkFixture extends Fixture {
  readonly modern: McpHttpHandler;
}

interface Session {
  readonly transport: WebStandardStreamableHTTPServerTransport;
  readonly server: McpServer;
}

const methodOf = async (request: Request): Promise<string> => {
  try {
    const message: unknown = JSON.parse(await request.clone().text());
    if (Array.isArray(message)) return "batch";
    return String((message as { method?: unknown }).method ?? "response");
  } catch {
    return "invalid";
  }
};

const sessionNotFound = (): Response =>
  Response.json(
    { jsonrpc: "2.0", error: { code: -32001, message: "Session not found" }, id: null },
    { status: 404 },
  );

/** Serves `build` over streamable HTTP at `/mcp`: one instance per legacy session, one per modern request. */
export async function startSdkServer(
  build: (serving: Serving) => McpServer,
  options: SdkServerOptions = {},
): Promise<SdkFixture> {
  const era = options.era ?? "dual";
  const traffic = createTraffic();
  const sessions = new Map<string, Session>();
  const modern = createMcpHandler(() => build({ era: "modern" }), { legacy: "reject" });

  const openSession = async (request: Request): Promise<Response> => {
    const sessionId = randomUUID();
    const server = build({ era: "legacy", sessionId });
    const transport = new WebStandardStreamableHTTPServerTransport({
      ...options.legacyTransport?.(),
      sessionIdGenerator: () => sessionId,
      onsessioninitialized: () => {
        sessions.set(sessionId, { transport, server });
        traffic.sessionOpened();
      },
    });
    transport.onclose = () => {
      if (!sessions.delete(sessionId)) return;
      traffic.sessionClosed();
      options.onSessionClosed?.(sessionId);
    };
    await server.connect(transport);
    const answer = await transport.handleRequest(request);
    if (!sessions.has(sessionId)) await server.close();
    return answer;
  };

  const legacy = async (request: Request): Promise<Response> => {
    const sessionId = request.headers.get("mcp-session-id");
    if (sessionId === null) return openSession(request);
    const session = sessions.get(sessionId);
    return session ? session.transport.handleRequest(request) : sessionNotFound();
  };

  const serve = async (request: Request): Promise<Response> => {
    const refused = options.guard?.(request);
    if (refused) return refused;
    if (era === "modern") return modern.fetch(request);
    if (era === "legacy") return legacy(request);
    return (await isLegacyRequest(request)) ? legacy(request) : modern.fetch(request);
  };

  const mcp = (request: IncomingMessage, response: ServerResponse): void => {
    const handle = toNodeHandler({
      fetch: async (webRequest) => {
        if (webRequest.method === "POST") traffic.begin(await methodOf(webRequest), response);
        else traffic.count(webRequest.method);
        return serve(webRequest);
      },
    });
    void handle(request as IncomingMessage & { method: string; url: string }, response);
  };

  const stats = (): FixtureStats => traffic.snapshot(listener.connections());
  const report = (): unknown => ({ ...stats(), ...options.report?.() });
  const listener = await listenHttp({ mcp, report }, options);
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      await listener.close();
      await Promise.allSettled([...sessions.values()].map(({ server }) => server.close()));
      await modern.close();
    })();
    return closing;
  };
  return {
    url: `${listener.origin}/mcp`,
    port: listener.port,
    modern,
    stats,
    close,
    [Symbol.asyncDispose]: close,
  };
}
