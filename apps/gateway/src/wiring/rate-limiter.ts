import type { PluginDefinition, PluginPipeline } from "@gatewright/plugin-framework";
import type { LimiterObserver } from "@gatewright/rate-limiter";
import { rateLimiterPlugin } from "@gatewright/rate-limiter/plugin";
import { createRedisStore } from "@gatewright/rate-limiter/redis";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { defaultRateLimiterEntry } from "../config/rate-limiter.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";

/** What the limiter works with. */
export interface LimiterWiring {
  readonly redis: RedisConnections | undefined;
  /** How many live replicas share the limits. */
  readonly replicas: () => number;
  readonly observer: LimiterObserver;
}

/** The built-in plugin `rate_limiter`: its counters in Redis, or in the memory of this process without it. */
export function wireRateLimiter({ redis, replicas, observer }: LimiterWiring): PluginDefinition {
  const store =
    redis === undefined ? undefined : createRedisStore({ client: redis.commands, prefix: redis.prefix });
  return rateLimiterPlugin({ store, replicas, observer }) satisfies PluginDefinition;
}

/** Would calls be refused now if the limiter's store were out of reach? */
export function refusesWithoutStore(config: GatewayConfig, pipeline: PluginPipeline): boolean {
  const { name } = defaultRateLimiterEntry;
  const entry = config.plugins.find((plugin) => plugin.name === name);
  if (entry?.config["failurePolicy"] !== "closed") return false;
  return pipeline.list().some((plugin) => plugin.plugin === name && plugin.mode === "enforce");
}
