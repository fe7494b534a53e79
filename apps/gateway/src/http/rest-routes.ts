import type { IncomingMessage } from "node:http";
import type { FastifyInstance } from "fastify";
import type { GatewayCore } from "../app/gateway-core.ts";

/** The REST routes. */
export function registerRestRoutes(
  app: FastifyInstance,
  core: GatewayCore,
  guard: (request: IncomingMessage) => void,
): void {
  app.get("/health/live", () => ({ status: "ok" }));
  void core;
  void guard;
}
