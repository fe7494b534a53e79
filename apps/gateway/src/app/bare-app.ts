import Fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { answerClientError, brokenRequestBody } from "../http/broken-request.ts";
import { Connections } from "../http/connections.ts";
import { createHttpServer } from "../http/create-http-server.ts";
import type { McpListener } from "../http/mcp-routes.ts";
import type { McpSurface } from "./mcp-surface.ts";
import { shouldUpgrade } from "./serve-channels.ts";

/** Parts of requests are checked by zod. Fastify's compilers of JSON Schema are half of what it loads, for nothing. */
const noCompiler = () => {
  throw new Error("a route has a JSON Schema, and nothing here compiles one");
};

/** Fastify over the gateway's HTTP server: its limits, its form of what cannot be read; MCP paths come first. No routes. */
export function createBareApp(
  limits: GatewayConfig["limits"],
  { hooks, nextRequestId, requestIdOf }: McpSurface,
  mcp: McpListener,
): FastifyInstance {
  const connections = new Connections(limits.connections);
  const app = Fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    genReqId: (request) => requestIdOf(request),
    forceCloseConnections: false,
    schemaController: { compilersFactory: { buildValidator: noCompiler, buildSerializer: noCompiler } },
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
  return app;
}
