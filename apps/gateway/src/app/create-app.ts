import type { IncomingMessage } from "node:http";
import Fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import { createAdmission } from "../auth/admission.ts";
import { Heartbeat } from "../channels/heartbeat.ts";
import { SseEndpoint } from "../channels/sse-endpoint.ts";
import { answerClientError, brokenRequestBody } from "../http/broken-request.ts";
import { basePathOf, challengeOf } from "../http/challenge.ts";
import { createClientAddress } from "../http/client-address.ts";
import { Connections } from "../http/connections.ts";
import { createHttpServer } from "../http/create-http-server.ts";
import { registerForwardRoute } from "../http/forward-route.ts";
import { createHostGuard } from "../http/host-guard.ts";
import { createMcpListener } from "../http/mcp-routes.ts";
import { RequestHooks } from "../http/request-hooks.ts";
import { registerRestRoutes } from "../http/rest-routes.ts";
import { McpEndpoint, type McpEndpointDeps } from "../mcp/mcp-endpoint.ts";
import type { GatewayCore } from "./gateway-core.ts";
import { createRequestIds } from "./request-ids.ts";
import { type ChannelDeps, serveChannels, shouldUpgrade } from "./serve-channels.ts";

/** The HTTP surface over a core: REST and MCP on one Fastify. Nothing listens yet. */
export async function createApp(core: GatewayCore): Promise<FastifyInstance> {
  const { config, logger, metrics } = core;
  const { limits } = config;
  const nextRequestId = createRequestIds();
  const guard = createHostGuard(config.server);
  const clientAddress = createClientAddress(config.server.trustedProxies);
  const { pipeline } = core;
  const hooks = new RequestHooks({ pipeline, clientAddress, nextRequestId });
  const requestIdOf = (request: IncomingMessage) => hooks.of(request)?.requestId ?? nextRequestId();
  const admission = createAdmission({ authenticator: core.authenticator, pipeline, hooks });
  const surface: McpEndpointDeps & ChannelDeps = {
    ...core.calls,
    sessions: core.sessions,
    channels: core.channels,
    replicas: core.replicas,
    admission,
    hooks,
    guard,
    clientAddress,
    limits,
    challenge: (request) => challengeOf(config.server, request),
    heartbeat: new Heartbeat(limits.channelPingMs),
    basePath: basePathOf(config.server),
    httpMetrics: metrics.http,
    nextRequestId,
    onFailure: (error, requestId) => logger.error({ err: error, requestId }, "a request failed"),
  };
  const endpoint = new McpEndpoint(surface);
  const mcp = createMcpListener({
    endpoint,
    snapshot: core.calls.snapshot,
    metrics: metrics.http,
    requestIdOf,
    onFailure: (error) => logger.error({ err: error }, "a request could not be answered"),
  });
  const connections = new Connections(limits.connections);
  const app = Fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    genReqId: (request) => requestIdOf(request),
    forceCloseConnections: false,
    routerOptions: { ignoreTrailingSlash: false },
    frameworkErrors: (_error, request, reply) => {
      const path = request.raw.url ?? "";
      const message = "this path is not a valid one";
      const broken = { code: "validation_failed", message, retryable: false, requestId: request.id } as const;
      const answer = reply as FastifyReply;
      answer.code(400).header("content-type", "application/json");
      answer.send(brokenRequestBody({ ...broken, path, status: 400 }));
    },
    clientErrorHandler: (error, socket) => answerClientError(error, socket, nextRequestId()),
    serverFactory: (others) =>
      createHttpServer({ limits, mcp, others, hooks, connections, shouldUpgrade, nextRequestId }),
  });
  app.addHook("preClose", async () => connections.endUnused());
  const events = new SseEndpoint(surface);
  serveChannels(app, events, surface);
  registerForwardRoute(app, { endpoint, events, core });
  acceptJsonOnly(app);
  registerRestRoutes(app, core, guard, admission);
  return app;
}

/** REST takes JSON alone; where nothing was sent, there is no body, whatever its type was said to be. */
function acceptJsonOnly(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, text, done) => {
    if (text.length === 0) done(null, undefined);
    else parse(request, text.toString(), done);
  });
}
