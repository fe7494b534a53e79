import type { FastifyInstance } from "fastify";
import { createBareApp } from "../app/bare-app.ts";
import type { GatewayCore } from "../app/gateway-core.ts";
import { createMcpSurface } from "../app/mcp-surface.ts";
import { serveRootEvents, serveSockets } from "../app/serve-channels.ts";
import { SseEndpoint } from "../channels/sse-endpoint.ts";
import { createRouteListener, type McpRoute } from "../http/mcp-routes.ts";
import { type McpTarget, serverTarget } from "../http/mcp-targets.ts";
import { McpEndpoint } from "../mcp/mcp-endpoint.ts";
import { createCors } from "./cors.ts";
import { withHeaderEnvironment } from "./header-environment.ts";
import type { Exposed, TranslateOptions } from "./translate-options.ts";

/** The paths of streamable HTTP: all that clients and gateways try where a URL has no path. */
const streamablePaths = ["/", "/mcp", "/mcp/"];

/** The one server of a core, everything unchanged. */
export function onlyTarget(snapshot: GatewayCore["calls"]["snapshot"]): McpTarget {
  return (principal) => {
    const [id = ""] = snapshot().upstreams.keys();
    return serverTarget(snapshot, id)(principal);
  };
}

/** The HTTP surface of a bridge: one server at `/`, `/mcp`, `/sse` and `/ws`, and `/healthz`. Nothing listens yet. */
export async function createTranslateApp(
  core: GatewayCore,
  expose: Exposed,
  { headerEnv, cors }: Pick<TranslateOptions, "headerEnv" | "cors">,
): Promise<FastifyInstance> {
  const surface = createMcpSurface(core, (admission) =>
    headerEnv.size === 0 ? admission : withHeaderEnvironment(admission, headerEnv),
  );
  const root = onlyTarget(core.calls.snapshot);
  const endpoint = new McpEndpoint(surface);
  const paths = expose.streamableHttp ? streamablePaths : [];
  const routes = new Map<string, McpRoute>(
    paths.map((pattern) => [pattern, { pattern, transport: "streamable", target: root }]),
  );
  const serveMcp = createRouteListener(
    {
      endpoint,
      metrics: surface.httpMetrics,
      requestIdOf: surface.requestIdOf,
      onFailure: (error) => core.logger.error({ err: error }, "a request could not be answered"),
    },
    (url) => routes.get(url.split("?", 1)[0] ?? ""),
  );
  const answerCors = createCors(cors);
  const app = createBareApp(
    core.config.limits,
    surface,
    (request, response) => answerCors(request, response) || serveMcp(request, response),
  );
  app.addHook("onClose", async () => surface.heartbeat.close());
  if (expose.sse) serveRootEvents(app, new SseEndpoint(surface), surface, root);
  serveSockets(app, surface, (path) => (expose.websocket && /^\/ws\/?$/.test(path) ? root : undefined));
  app.get("/healthz", (_request, reply) => {
    const { status, reason } = healthOf(core, headerEnv.size > 0);
    reply.code(status === "ok" ? 200 : 503).send({ status, ...(reason !== undefined && { reason }) });
  });
  app.setNotFoundHandler((request, reply) => {
    const message = `there is no ${request.method} ${request.url.split("?")[0]}`;
    reply.code(404).send({ error: { code: "not_found", message, retryable: false, requestId: request.id } });
  });
  return app;
}

/** `own`: the server runs with each caller's own environment, and how it fares without says nothing. */
function healthOf(
  core: GatewayCore,
  own: boolean,
): { readonly status: "ok" | "down" | "draining"; readonly reason?: string | undefined } {
  if (core.lifecycle.draining) return { status: "draining" };
  const [server] = core.snapshots.current?.upstreams.values() ?? [];
  if (own || server?.state !== "unreachable") return { status: "ok" };
  return { status: "down", reason: server.stateReason };
}
