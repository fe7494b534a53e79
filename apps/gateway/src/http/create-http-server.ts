import type { RequestListener, Server } from "node:http";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { Connections } from "./connections.ts";
import type { McpListener } from "./mcp-routes.ts";
import { createServer } from "./node-http.ts";
import { refuseRequest } from "./refuse-request.ts";
import type { RequestHooks } from "./request-hooks.ts";

/** How long an idle connection is kept; longer than the 60 s after which common balancers drop theirs. */
const keepAliveTimeoutMs = 72_000;

/** What the server is made of. */
export interface HttpServerParts {
  readonly limits: GatewayConfig["limits"];
  /** Serves MCP paths. */
  readonly mcp: McpListener;
  /** Serves all other paths. */
  readonly others: RequestListener;
  readonly hooks: RequestHooks;
  readonly connections: Connections;
  readonly shouldUpgrade: NonNullable<Parameters<typeof createServer>[0]["shouldUpgradeCallback"]>;
  readonly nextRequestId: () => string;
}

/** The HTTP server: asks the plugins that want to see requests, then whoever serves the path. */
export function createHttpServer(parts: HttpServerParts): Server {
  const { limits, mcp, others, hooks, connections, nextRequestId } = parts;
  const dispatch: RequestListener = (request, response) => {
    if (!mcp(request, response)) others(request, response);
  };
  const server = createServer(
    {
      shouldUpgradeCallback: parts.shouldUpgrade,
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
      if (!hooks.wanted) return dispatch(request, response);
      hooks.begin(request, response).then(
        () => dispatch(request, response),
        (error) => refuseRequest(error, hooks.of(request)?.requestId ?? nextRequestId(), request, response),
      );
    },
  );
  server.maxConnections = connections.hardMax;
  server.on("connection", (socket) => connections.add(socket));
  return server;
}
