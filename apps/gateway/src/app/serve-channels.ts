import type { IncomingMessage } from "node:http";
import { WireError } from "@gatewright/mcp-bridge";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { SocketEndpoint, type SocketEndpointDeps } from "../channels/socket-endpoint.ts";
import type { SseEndpoint, SsePurpose } from "../channels/sse-endpoint.ts";
import { failureAnswer } from "../http/failure-answer.ts";
import { allTargets, type McpTarget, serverTarget, targetAt } from "../http/mcp-targets.ts";
import type { HttpMetrics } from "../metrics/http-metrics.ts";

/** What the transports that live on one connection work with. */
export interface ChannelDeps extends Omit<SocketEndpointDeps, "targetOf"> {
  readonly httpMetrics: HttpMetrics;
  /** Path under which clients see the gateway; empty at the root. */
  readonly basePath: string;
}

const anyMethod = ["POST", "GET", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD"];

/**
 * Serves WebSockets at `/ws`, and the transport of 2024-11-05 at `/sse` and `/messages`; the same below
 * `/servers/{id}`.
 */
export function serveChannels(app: FastifyInstance, events: SseEndpoint, deps: ChannelDeps): void {
  serveSockets(app, deps, (path) => targetAt(path, "ws", deps.snapshot));
  app.addHook("onClose", async () => deps.heartbeat.close());
  for (const prefix of ["", "/servers/:id"]) {
    for (const slash of ["", "/"]) {
      app.all(`${prefix}/ws${slash}`, { onRequest: refuse }, () => undefined);
      for (const path of ["sse", "messages"] as const) {
        const onRequest = serveEvents(events, deps, path, allTargets(deps.snapshot));
        const url = `${prefix}/${path}${slash}`;
        app.route({ method: anyMethod, url, onRequest, handler: () => undefined });
      }
    }
  }
}

/** Takes requests to upgrade to WebSocket; `targetOf` says what is served at a path. */
export function serveSockets(
  app: FastifyInstance,
  deps: ChannelDeps,
  targetOf: (path: string) => McpTarget | undefined,
): void {
  const sockets = new SocketEndpoint({ ...deps, targetOf });
  app.server.on("upgrade", (request, socket, head) => void sockets.upgrade(request, socket, head));
}

/** Serves `/sse` and `/messages` at the root alone, with one target. */
export function serveRootEvents(
  app: FastifyInstance,
  events: SseEndpoint,
  deps: ChannelDeps,
  root: McpTarget,
): void {
  for (const slash of ["", "/"]) {
    for (const path of ["sse", "messages"] as const) {
      const onRequest = serveEvents(events, deps, path, root);
      app.route({ method: anyMethod, url: `/${path}${slash}`, onRequest, handler: () => undefined });
    }
  }
}

function serveEvents(endpoint: SseEndpoint, deps: ChannelDeps, path: "sse" | "messages", root: McpTarget) {
  return function onRequest(request: FastifyRequest, reply: FastifyReply): void {
    reply.hijack();
    const startedMs = performance.now();
    const { raw, method, id: requestId } = request;
    const response = reply.raw;
    const route = request.routeOptions.url ?? "";
    response.once("close", () =>
      deps.httpMetrics.observe(route, method, response.statusCode, performance.now() - startedMs),
    );
    const { id } = request.params as { readonly id?: string };
    const target: McpTarget = id === undefined ? root : serverTarget(deps.snapshot, id);
    const prefix = id === undefined ? "" : `/servers/${encodeURIComponent(id)}`;
    const purpose: SsePurpose =
      path === "sse"
        ? { kind: "stream", messagesPath: `${deps.basePath}${prefix}/messages` }
        : { kind: "message" };
    endpoint.serve({ request: raw, response, requestId, purpose, target }).catch((error) => {
      deps.onFailure(error, requestId);
      response.destroy();
    });
  };
}

/** Whoever asks for a WebSocket without an upgrade is told so. */
async function refuse(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const error =
    request.method === "GET"
      ? new WireError("invalid_request", "This is served by WebSocket: ask for an upgrade.")
      : new WireError("method_not_allowed", `${request.method} is not served here.`);
  const { body, status } = failureAnswer(error, "null", request.id);
  const headers = { "content-type": "application/json", allow: "GET", upgrade: "websocket" };
  return reply.code(status).headers(headers).send(body);
}

/**
 * Whether a request leaves HTTP. Clients that offer HTTP/2 (`Upgrade: h2c`) with an ordinary request get an
 * ordinary answer.
 */
export function shouldUpgrade(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === "websocket";
}
