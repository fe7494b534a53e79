import type { FastifyReply } from "fastify";
import type { GatewayCore } from "../../app/gateway-core.ts";
import { refusesWithoutStore } from "../../wiring/rate-limiter.ts";
import { defineRoute, type RestRoute } from "./route.ts";

/** `/health*`, `/ready` and `/metrics`. Live never touches a dependency; `/ready` asks for the snapshot alone. */
export function healthRoutes(core: GatewayCore): RestRoute[] {
  const access = core.config.auth.protectHealth ? "any" : "open";
  const databaseCheck = async () => {
    const { status, ...more } = await core.registry.health();
    return status === "ok" ? { status } : { status, message: "The database is unavailable.", ...more };
  };
  const snapshotCheck = () => ({ status: core.snapshots.current === undefined ? "down" : "ok" });
  // Without Redis calls go on, in a state of their own; unless the operator said that they shall not.
  const redisCheck = async () => {
    if (core.redis === undefined) return {};
    if ((await core.redis.health()) === "ok") return { redis: { status: "ok" } };
    return { redis: { status: refusesWithoutStore(core.config, core.pipeline) ? "down" : "degraded" } };
  };
  const verdict = (reply: FastifyReply, checks: Readonly<Record<string, { readonly status: string }>>) => {
    const states = Object.values(checks).map((check) => check.status);
    const ok = states.every((state) => state === "ok" || state === "degraded");
    reply.code(ok ? 200 : 503);
    return { status: ok ? (states.includes("degraded") ? "degraded" : "ok") : "down", checks };
  };
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
          const [database, redis] = await Promise.all([databaseCheck(), redisCheck()]);
          const lifecycle = lifecycleCheck();
          return verdict(reply, { database, ...redis, snapshot: snapshotCheck(), lifecycle });
        },
      }),
    ),
    defineRoute({
      method: "GET",
      path: "/ready",
      summary: "MCP can be served, from the snapshot if need be",
      access,
      handle: async ({ reply }) => {
        const redis = await redisCheck();
        return verdict(reply, { ...redis, snapshot: snapshotCheck(), lifecycle: lifecycleCheck() });
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
