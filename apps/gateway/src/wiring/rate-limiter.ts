import type { PluginDefinition, PluginPipeline } from "@gatewright/plugin-framework";
import type { LimiterObserver } from "@gatewright/rate-limiter";
import { rateLimiterPlugin } from "@gatewright/rate-limiter/plugin";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { defaultRateLimiterEntry } from "../config/rate-limiter.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";
import { shareOfLimits } from "../workers/share-of-limits.ts";

/** What the limiter works with. */
export interface LimiterWiring {
  readonly redis: RedisConnections | undefined;
  /** How many live replicas share the limits. */
  readonly replicas: () => number;
  readonly observer: LimiterObserver;
  /** Workers of one primary that share no Redis: each has its part of the limits. */
  readonly workers?: number | undefined;
}

/** The built-in plugin `rate_limiter`: its counters in Redis, or in the memory of this process without it. */
export async function wireRateLimiter(wiring: LimiterWiring): Promise<PluginDefinition> {
  const { redis, replicas, observer, workers = 1 } = wiring;
  const store = redis && (await openStore(redis));
  const plugin = rateLimiterPlugin({ store, replicas, observer });
  if (redis !== undefined || workers === 1) return plugin satisfies PluginDefinition;
  const create: typeof plugin.create = (config, host) => plugin.create(shareOfLimits(config, workers), host);
  return { ...plugin, create } as PluginDefinition;
}

async function openStore({ commands, prefix }: RedisConnections) {
  const { createRedisStore } = await import("@gatewright/rate-limiter/redis");
  return createRedisStore({ client: commands, prefix });
}

/** Would calls be refused now if the limiter's store were out of reach? */
export function refusesWithoutStore(config: GatewayConfig, pipeline: PluginPipeline): boolean {
  const { name } = defaultRateLimiterEntry;
  const entry = config.plugins.find((plugin) => plugin.name === name);
  if (entry?.config["failurePolicy"] !== "closed") return false;
  return pipeline.list().some((plugin) => plugin.plugin === name && plugin.mode === "enforce");
}
