import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { GatewayCore } from "../app/gateway-core.ts";
import type { SseEndpoint } from "../channels/sse-endpoint.ts";
import type { McpEndpoint } from "../mcp/mcp-endpoint.ts";
import { forwardPath } from "../replicas/forward-head.ts";
import { nothing, targetAt } from "./mcp-targets.ts";

/** What the internal route works with. */
export interface ForwardRouteDeps {
  readonly endpoint: McpEndpoint;
  /** Takes messages for streams of the transport of 2024-11-05. */
  readonly events: SseEndpoint;
  readonly core: GatewayCore;
}

/**
 * The internal route, on which other replicas hand over requests for sessions that live here. It is for them alone: what
 * is not signed by one of them is refused.
 */
export function registerForwardRoute(
  app: FastifyInstance,
  { endpoint, events, core }: ForwardRouteDeps,
): void {
  const { replicas, metrics, logger } = core;
  async function serve(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { raw } = request;
    const response = reply.raw;
    const forwarded = await replicas.receive(raw, response);
    if (forwarded === undefined) return;
    const path = raw.url?.split("?")[0] ?? "";
    const { requestId } = forwarded;
    const incoming = { request: raw, response, requestId, forwarded };
    const stream = targetAt(path, "messages", core.calls.snapshot);
    if (stream !== undefined) {
      return await events.serve({ ...incoming, purpose: { kind: "message" }, target: stream });
    }
    const target = targetAt(path, "mcp", core.calls.snapshot) ?? nothing(path);
    await endpoint.serve({ ...incoming, target, transport: "streamable" });
  }
  app.route({
    method: "POST",
    url: forwardPath,
    handler: () => undefined,
    onRequest(request, reply) {
      reply.hijack();
      const startedMs = performance.now();
      const response = reply.raw;
      response.once("close", () => {
        metrics.http.observe(forwardPath, "POST", response.statusCode, performance.now() - startedMs);
      });
      serve(request, reply).catch((error) => {
        logger.error({ err: error }, "a forwarded request could not be answered");
        response.destroy();
      });
    },
  });
}
