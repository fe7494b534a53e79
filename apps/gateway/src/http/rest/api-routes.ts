import type { GatewayCore } from "../../app/gateway-core.ts";
import { registerUpstream } from "../../upstreams/register-upstream.ts";
import { upstreamBody } from "../../upstreams/upstream-input.ts";
import { pageQuery, registryQuery, withTotal } from "./paging.ts";
import { defineRoute, type RestRoute } from "./route.ts";
import { itemView, serverView, upstreamView } from "./upstream-view.ts";
import { visibleServers, visibleUpstreams } from "./visible.ts";

/** `/api/*`: the same things under other paths; lists are bare arrays. */
export function apiRoutes(core: GatewayCore): RestRoute[] {
  const { registry, refresher, snapshots } = core;
  const register = (path: string, unreachable: "refuse" | "keep") =>
    defineRoute({
      method: "POST",
      path,
      summary: "Register an upstream and its virtual server",
      access: "admin",
      body: upstreamBody,
      status: 201,
      handle: async ({ body, principal }) => {
        const record = await registerUpstream(core.registering, body, unreachable);
        refresher.listed(record);
        await snapshots.refresh();
        return { ...upstreamView(record, principal), endpoint: `/servers/${record.id}/mcp` };
      },
    });
  return [
    defineRoute({
      method: "GET",
      path: "/api/servers",
      summary: "List virtual servers",
      access: "any",
      query: pageQuery,
      handle: async (request) => {
        const page = await registry.servers({
          ...registryQuery(request.query),
          ...visibleServers(request.principal),
        });
        const upstreams = core.calls.snapshot().upstreams;
        return withTotal(request, page).map((server) => {
          const record = upstreams.get(server.id);
          return {
            ...(record === undefined ? {} : upstreamView(record, request.principal)),
            ...serverView(server),
          };
        });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/gateways",
      summary: "List upstreams",
      access: "any",
      query: pageQuery,
      handle: async (request) =>
        withTotal(
          request,
          await registry.upstreams({
            ...registryQuery(request.query),
            ...(await visibleUpstreams(registry, request.principal)),
          }),
        ).map((record) => upstreamView(record, request.principal)),
    }),
    defineRoute({
      method: "GET",
      path: "/api/tools",
      summary: "List tools",
      access: "any",
      query: pageQuery,
      handle: async (request) =>
        withTotal(
          request,
          await registry.items("tool", {
            ...registryQuery(request.query),
            ...(await visibleUpstreams(registry, request.principal)),
          }),
        ).map(itemView),
    }),
    register("/api/servers", "keep"),
    register("/api/gateways", "refuse"),
  ];
}
