import type { GatewayConfig } from "../config/gateway-config.ts";

/** The setting by which several replicas share state, and so have to share a secret. */
export function sharedBy(config: GatewayConfig): string | undefined {
  return config.redis.url === undefined ? undefined : "REDIS_URL";
}
