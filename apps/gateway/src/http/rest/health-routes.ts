import type { GatewayCore } from "../../app/gateway-core.ts";
import { defineRoute, type RestRoute } from "./route.ts";

/** `/health*`, `/ready` and `/metrics`. Live never touches a dependency; `/ready` asks for the snapshot alone. */
export function healthRoutes(core: GatewayCore): RestRoute[] {
  const access = core.config.auth.protectHealth ? "any" : "open";
  const registryCheck = async () => {
    try {
      await core.registry.ping();
      return { status: "ok" };
    } catch (error) {
      core.logger.warn({ err: error }, "registry not readable");
      return { status: "down" };
    }
  };
  const snapshotCheck = () => ({ status: core.snapshots.current === undefined ? "down" : "ok" });
  const lifecycleCheck = () => ({ status: core.lifecycle.draining ? "draining" : "ok" });
  return [
    defineRoute({
      method: "GET",
      path: "/health/live",
      summary: "The process answers",
      access,
      handle: () => ({ status: "ok" }),
    }),
    ...["/health", "/health/ready"].map((path) =>
      defineRoute({
        method: "GET",
        path,
        summary: "Every dependency answers",
        access,
        handle: async ({ reply }) => {
          const checks = {
            registry: await registryCheck(),
            snapshot: snapshotCheck(),
            lifecycle: lifecycleCheck(),
          };
          const ok = Object.values(checks).every((check) => check.status === "ok");
          reply.code(ok ? 200 : 503);
          return { status: ok ? "ok" : "down", checks };
        },
      }),
    ),
    defineRoute({
      method: "GET",
      path: "/ready",
      summary: "MCP can be served, from the snapshot if need be",
      access,
      handle: ({ reply }) => {
        const checks = { snapshot: snapshotCheck(), lifecycle: lifecycleCheck() };
        const ok = Object.values(checks).every((check) => check.status === "ok");
        reply.code(ok ? 200 : 503);
        return { status: ok ? "ok" : "down", checks };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/metrics",
      summary: "Prometheus text",
      access,
      handle: async ({ reply }) => {
        reply.header("content-type", core.metrics.contentType);
        return core.metrics.text();
      },
    }),
  ];
}
