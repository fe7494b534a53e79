import { createServer, type RequestListener, type Server } from "node:http";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { Connections } from "./connections.ts";
import type { McpListener } from "./mcp-routes.ts";

/** How long an idle connection is kept; longer than the 60 s after which common balancers drop theirs. */
const keepAliveTimeoutMs = 72_000;

/** The HTTP server: MCP paths go to `mcp`, all others to `others`. */
export function createHttpServer(
  limits: GatewayConfig["limits"],
  mcp: McpListener,
  others: RequestListener,
  shouldUpgradeCallback: NonNullable<Parameters<typeof createServer>[0]["shouldUpgradeCallback"]>,
  connections: Connections,
  nextRequestId: () => string,
): Server {
  const server = createServer(
    {
      shouldUpgradeCallback,
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      connectionsCheckingInterval: Math.min(limits.headersTimeoutMs, 5_000),
      keepAliveTimeout: keepAliveTimeoutMs,
    },
    (request, response) => {
      // While it stops, the server asks clients to leave, so that none sends into a connection that is closed.
      if (!server.listening) response.setHeader("connection", "close");
      if (connections.refuse(request, response, nextRequestId)) return;
      if (!mcp(request, response)) others(request, response);
    },
  );
  server.maxConnections = connections.hardMax;
  server.on("connection", (socket) => connections.add(socket));
  return server;
}
