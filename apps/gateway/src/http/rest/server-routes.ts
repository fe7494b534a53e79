import { z } from "zod";
import type { GatewayCore } from "../../app/gateway-core.ts";
import { pageQuery, registryQuery, withTotal } from "./paging.ts";
import { defineRoute, type RestRoute } from "./route.ts";
import { serverView } from "./upstream-view.ts";
import { requireServer, visibleServers } from "./visible.ts";

const fields = {
  name: z.string().trim().min(1).max(64),
  description: z.string().max(1_000),
  gatewayIds: z.array(z.string()).min(1).max(1_000),
  names: z.enum(["plain", "prefixed"]),
};
const serverBody = z.strictObject({
  name: fields.name,
  description: fields.description.optional(),
  gatewayIds: fields.gatewayIds,
  names: fields.names.default("prefixed"),
});
const serverPatch = z.strictObject(fields).partial();

/** `/servers`: virtual servers, the implicit one of every upstream among them. */
export function serverRoutes(core: GatewayCore): RestRoute[] {
  const { snapshots } = core;
  return [
    defineRoute({
      method: "GET",
      path: "/servers",
      summary: "List virtual servers",
      access: "any",
      query: pageQuery,
      handle: async (request) => {
        const page = await request.registry.servers({
          ...registryQuery(request.query),
          ...visibleServers(request.principal),
        });
        return { items: withTotal(request, page).map(serverView), total: page.total };
      },
    }),
    defineRoute({
      method: "POST",
      path: "/servers",
      summary: "Make a virtual server of some upstreams",
      access: "admin",
      body: serverBody,
      status: 201,
      show: async (id, { registry }) => serverView(await registry.server(id)),
      handle: async ({ body, registry }) => {
        const { description, ...rest } = body;
        const input = { ...rest, ...(description === undefined ? {} : { description }) };
        const record = await registry.createServer(input);
        await snapshots.catchUp();
        return serverView(record);
      },
    }),
    defineRoute({
      method: "GET",
      path: "/servers/{id}",
      summary: "Show a virtual server",
      access: "any",
      handle: async ({ params, principal, registry }) => {
        const id = params["id"] ?? "";
        requireServer(principal, id);
        return serverView(await registry.server(id));
      },
    }),
    defineRoute({
      method: "PATCH",
      path: "/servers/{id}",
      summary: "Change a virtual server",
      access: "admin",
      body: serverPatch,
      show: async (id, { registry }) => serverView(await registry.server(id)),
      handle: async ({ params, body, registry }) => {
        const id = params["id"] ?? "";
        const input = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
        const record = await registry.updateServer(id, input);
        await snapshots.catchUp();
        return serverView(record);
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/servers/{id}",
      summary: "Remove a virtual server; its upstreams stay",
      access: "admin",
      status: 204,
      show: () => undefined,
      handle: async ({ params, registry }) => {
        await registry.deleteServer(params["id"] ?? "");
        await snapshots.catchUp();
      },
    }),
  ];
}
