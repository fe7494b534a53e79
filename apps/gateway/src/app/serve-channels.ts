import type { IncomingMessage } from "node:http";
import { WireError } from "@gatewright/mcp-bridge";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { SocketEndpoint, type SocketEndpointDeps } from "../channels/socket-endpoint.ts";
import { failureAnswer } from "../http/failure-answer.ts";
import { targetAt } from "../http/mcp-targets.ts";

/** What the transports that live on one connection work with. */
export type ChannelDeps = Omit<SocketEndpointDeps, "targetOf">;

/** Serves WebSockets at `/ws` and `/servers/{id}/ws`. */
export function serveChannels(app: FastifyInstance, deps: ChannelDeps): void {
  const endpoint = new SocketEndpoint({ ...deps, targetOf: (path) => targetAt(path, "ws", deps.snapshot) });
  app.server.on("upgrade", (request, socket, head) => void endpoint.upgrade(request, socket, head));
  app.addHook("onClose", async () => endpoint.close());
  for (const url of ["/ws", "/ws/", "/servers/:id/ws", "/servers/:id/ws/"]) {
    app.all(url, { onRequest: refuse }, () => undefined);
  }
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
