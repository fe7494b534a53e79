import type { GatewayCore } from "../../app/gateway-core.ts";
import { defineRoute, type RestRoute } from "./route.ts";

/** `GET /admin/config`: what is in force, how it last changed, and what waits for a restart; without secrets. */
export function configRoutes({ liveConfig }: GatewayCore): RestRoute[] {
  return [
    defineRoute({
      method: "GET",
      path: "/admin/config",
      summary: "The configuration in force, its last change, and what only a restart applies",
      access: "admin",
      handle: () => liveConfig.status(),
    }),
  ];
}
