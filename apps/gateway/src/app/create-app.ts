import type { FastifyInstance } from "fastify";
import { SseEndpoint } from "../channels/sse-endpoint.ts";
import { registerForwardRoute } from "../http/forward-route.ts";
import { createMcpListener } from "../http/mcp-routes.ts";
import { readBody } from "../http/read-body.ts";
import { registerRestRoutes } from "../http/rest-routes.ts";
import { McpEndpoint } from "../mcp/mcp-endpoint.ts";
import { createBareApp } from "./bare-app.ts";
import type { GatewayCore } from "./gateway-core.ts";
import { createMcpSurface } from "./mcp-surface.ts";
import { serveChannels } from "./serve-channels.ts";

/** The HTTP surface over a core: REST and MCP on one Fastify. Nothing listens yet. */
export async function createApp(core: GatewayCore): Promise<FastifyInstance> {
  const { config, logger, metrics } = core;
  const surface = createMcpSurface(core);
  const endpoint = new McpEndpoint(surface);
  const mcp = createMcpListener({
    endpoint,
    snapshot: core.calls.snapshot,
    metrics: metrics.http,
    requestIdOf: surface.requestIdOf,
    onFailure: (error) => logger.error({ err: error }, "a request could not be answered"),
  });
  const app = createBareApp(config.limits, surface, mcp);
  const events = new SseEndpoint(surface);
  serveChannels(app, events, surface);
  registerForwardRoute(app, { endpoint, events, core });
  acceptJsonOnly(app, config.limits.bodyBytes);
  registerRestRoutes(app, core, surface.guard, surface.admission);
  return app;
}

/** REST takes JSON alone; where nothing was sent, there is no body, whatever its type was said to be. */
function acceptJsonOnly(app: FastifyInstance, maxBytes: number): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeAllContentTypeParsers();
  // Fastify's own reader keeps each chunk as an object of its own, of which a body of tiny ones has millions.
  app.addContentTypeParser("application/json", (request, raw, done) => {
    readBody(raw, maxBytes).then(
      (body) => {
        if (body.length === 0) done(null, undefined);
        else parse(request, body.toString(), done);
      },
      (error) => done(error),
    );
  });
}
