import { usesPostgres } from "../config/db-resilience.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { redisPlace } from "../config/redis.ts";

/** The setting by which several replicas share state, and so have to share a secret. */
export function sharedBy(config: GatewayConfig): string | undefined {
  const place = redisPlace(config.redis);
  if (place !== undefined) return place.kind === "single" ? "REDIS_URL" : `redis.${place.kind}`;
  return usesPostgres(config.database) ? "DATABASE_URL" : undefined;
}
