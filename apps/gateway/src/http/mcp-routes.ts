import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { McpEndpoint } from "../mcp/mcp-endpoint.ts";
import type { HttpMetrics } from "../metrics/http-metrics.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import { allTargets, type McpTarget, nothing, serverTarget } from "./mcp-targets.ts";

/** What the MCP routes work with. */
export interface McpRoutesDeps {
  readonly endpoint: McpEndpoint;
  readonly snapshot: () => Snapshot;
  readonly metrics: HttpMetrics;
  readonly nextRequestId: () => string;
  /** Told of requests that could not even be answered. */
  readonly onFailure: (error: unknown) => void;
}

/**
 * The MCP routes. They take the request over before Fastify reads its body: what comes and goes is JSON-RPC,
 * errors included.
 */
export function registerMcpRoutes(app: FastifyInstance, deps: McpRoutesDeps): void {
  const serve = (
    transport: "streamable" | "plain",
    targetOfRequest: (request: FastifyRequest) => McpTarget,
  ) =>
    function onRequest(request: FastifyRequest, reply: FastifyReply): void {
      reply.hijack();
      const startedMs = performance.now();
      const response = reply.raw;
      const route = request.routeOptions.url ?? "";
      const { raw, method } = request;
      const observe = () =>
        deps.metrics.observe(route, method, response.statusCode, performance.now() - startedMs);
      const served = deps.endpoint.serve({
        request: raw,
        response,
        requestId: deps.nextRequestId(),
        target: targetOfRequest(request),
        transport,
      });
      // A posted request ends with its answer; the stream of a GET, when its client goes.
      if (method === "GET") response.once("close", observe);
      served.then(method === "GET" ? undefined : observe, (error) => {
        deps.onFailure(error);
        response.destroy();
      });
    };
  const all = () => allTargets;
  const one = (request: FastifyRequest): McpTarget =>
    serverTarget(deps.snapshot, (request.params as { readonly id: string }).id);
  // Methods that are not served are answered by the endpoint too: by JSON-RPC, and with `Allow`.
  const method = ["POST", "GET", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD"];
  const handler = () => undefined;
  for (const url of ["/mcp", "/mcp/"]) {
    app.route({ method, url, handler, onRequest: serve("streamable", all) });
  }
  for (const url of ["/servers/:id/mcp", "/servers/:id/mcp/"]) {
    app.route({ method, url, handler, onRequest: serve("streamable", one) });
  }
  for (const url of ["/mcp/http", "/mcp/http/"]) {
    app.route({ method, url, handler, onRequest: serve("plain", all) });
  }
  for (const url of ["/mcp/*", "/servers/:id/mcp/*"]) {
    app.route({ method, url, handler, onRequest: serve("streamable", (request) => nothing(request.url)) });
  }
}
