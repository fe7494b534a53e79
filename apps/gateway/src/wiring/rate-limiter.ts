import type { PluginDefinition } from "@gatewright/plugin-framework";
import { rateLimiterPlugin } from "@gatewright/rate-limiter/plugin";

/** The built-in plugin `rate_limiter`, its counters in the memory of this process. */
export function wireRateLimiter(): PluginDefinition {
  return rateLimiterPlugin() satisfies PluginDefinition;
}
