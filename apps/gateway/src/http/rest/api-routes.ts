import type { GatewayCore } from "../../app/gateway-core.ts";
import type { Principal } from "../../auth/principal.ts";
import type { UpstreamRecord } from "../../registry/records.ts";
import { registerUpstream } from "../../upstreams/register-upstream.ts";
import { upstreamBody } from "../../upstreams/upstream-input.ts";
import { pageQuery, registryQuery, withTotal } from "./paging.ts";
import { defineRoute, type RestRoute } from "./route.ts";
import { itemView, serverView, upstreamView } from "./upstream-view.ts";
import { visibleServers, visibleUpstreams } from "./visible.ts";

/** `/api/*`: the same things under other paths; lists are bare arrays. */
export function apiRoutes(core: GatewayCore): RestRoute[] {
  const { refresher, snapshots } = core;
  const view = (record: UpstreamRecord, principal: Principal | undefined) => ({
    ...upstreamView(record, principal),
    endpoint: `/servers/${record.id}/mcp`,
  });
  const register = (path: string, unreachable: "refuse" | "keep") =>
    defineRoute({
      method: "POST",
      path,
      summary: "Register an upstream and its virtual server",
      access: "admin",
      body: upstreamBody,
      status: 201,
      show: async (id, { registry, principal }) => view(await registry.upstream(id), principal),
      handle: async ({ body, principal, registry }) => {
        const record = await registerUpstream({ ...core.registering, registry }, body, unreachable);
        refresher.listed(record);
        await snapshots.catchUp();
        return view(record, principal);
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
        const { registry } = request;
        const page = await registry.servers({
          ...registryQuery(request.query),
          ...visibleServers(request.principal),
        });
        // The implicit server of an upstream has its id.
        const ids = page.items.map(({ id }) => id);
        const { items } = await registry.upstreams({ ids, limit: Math.max(1, ids.length), offset: 0 });
        const upstreams = new Map(items.map((record) => [record.id, record]));
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
          await request.registry.upstreams({
            ...registryQuery(request.query),
            ...(await visibleUpstreams(request.registry, request.principal)),
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
          await request.registry.items("tool", {
            ...registryQuery(request.query),
            ...(await visibleUpstreams(request.registry, request.principal)),
          }),
        ).map(itemView),
    }),
    register("/api/servers", "keep"),
    register("/api/gateways", "refuse"),
  ];
}
