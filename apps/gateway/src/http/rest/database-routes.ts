import type { GatewayCore } from "../../app/gateway-core.ts";
import { defineRoute, type RestRoute } from "./route.ts";

/** `GET /admin/database`: the state of the registry's database, its servers by number, and the pools of connections. */
export function databaseRoutes({ registry, snapshots }: GatewayCore): RestRoute[] {
  return [
    defineRoute({
      method: "GET",
      path: "/admin/database",
      summary: "State of the database: servers, connections, failovers",
      access: "admin",
      handle: async () => ({
        ...(await registry.health()),
        ...registry.describe(),
        snapshot: snapshots.current === undefined ? "none" : "loaded",
      }),
    }),
  ];
}
