import { usesPostgres } from "../config/db-resilience.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";

/** The setting by which several replicas share state, and so have to share a secret. */
export function sharedBy(config: GatewayConfig): string | undefined {
  if (config.redis.url !== undefined) return "REDIS_URL";
  return usesPostgres(config.database) ? "DATABASE_URL" : undefined;
}
