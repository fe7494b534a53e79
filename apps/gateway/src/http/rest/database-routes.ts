import type { GatewayCore } from "../../app/gateway-core.ts";
import { defineRoute, type RestRoute } from "./route.ts";

/**
 * `/admin/database`: the state of the registry's database, its servers by number, and the pools of connections; and the
 * operator's word that the server that can be reached is the right one.
 */
export function databaseRoutes({ registry, snapshots, logger }: GatewayCore): RestRoute[] {
  return [
    defineRoute({
      method: "POST",
      path: "/admin/database/accept",
      summary:
        "Write to the database server that can be reached, although a later history was seen (db_fenced)",
      access: "admin",
      handle: async ({ principal }) => {
        await registry.acceptServer();
        logger.warn(
          { by: principal?.user },
          "an operator has accepted the database server that can be reached",
        );
        return registry.health();
      },
    }),
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
