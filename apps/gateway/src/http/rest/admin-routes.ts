import type { GatewayCore } from "../../app/gateway-core.ts";
import { defineRoute, type RestRoute } from "./route.ts";

/** `/admin/sessions`: what is open. */
export function adminRoutes({ pool, sessions }: GatewayCore): RestRoute[] {
  return [
    defineRoute({
      method: "GET",
      path: "/admin/sessions",
      summary: "Sessions of clients and with upstreams",
      access: "admin",
      handle: () => ({ clients: sessions.size, upstreams: pool.stats() }),
    }),
  ];
}
