import type { GatewayCore } from "../../app/gateway-core.ts";
import { defineRoute, type RestRoute } from "./route.ts";

/** Most sessions of clients that are listed. */
const maxDescribed = 1_000;

/** `/admin/sessions`: what is open on this replica. */
export function adminRoutes({ pool, sessions, replicas }: GatewayCore): RestRoute[] {
  return [
    defineRoute({
      method: "GET",
      path: "/admin/sessions",
      summary: "Sessions of clients and with upstreams",
      access: "admin",
      handle: () => ({
        replica: replicas.selfId,
        clients: sessions.size,
        ownership: replicas.stats(),
        owned: sessions.describe(maxDescribed),
        upstreams: pool.stats(),
      }),
    }),
  ];
}
