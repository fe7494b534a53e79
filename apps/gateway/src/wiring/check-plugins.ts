import type { PluginDefinition } from "@gatewright/plugin-framework";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { Metrics } from "../metrics/metrics.ts";
import { wirePipeline } from "./plugin-framework.ts";
import { wireRateLimiter } from "./rate-limiter.ts";
import { wireRetry } from "./retry-backoff.ts";

/**
 * Puts the plugins of a configuration together as a gateway does, and lets them go again. Those from outside are loaded and
 * their settings checked, but they are not started: a check connects to nothing.
 *
 * @throws {ConfigError} when a plugin does not exist or its config is wrong
 */
export async function checkPlugins(config: GatewayConfig): Promise<void> {
  const { definition: retry, layer } = await wireRetry(config, {
    metrics: new Metrics({ processMetrics: false }).retry,
    circuitOpen: () => false,
    enabled: () => true,
    onWarning: () => undefined,
  });
  try {
    const rate_limiter = await wireRateLimiter({ redis: undefined, replicas: () => 1, observer: {} });
    const { pipeline } = await wirePipeline(config, { rate_limiter, retry }, {}, withoutStart);
    await pipeline.close({ deadlineMs: 0 });
  } finally {
    layer.stop();
    await layer.close();
  }
}

function withoutStart(definition: PluginDefinition): PluginDefinition {
  const hooks = Object.fromEntries(Object.keys(definition.hooks).map((hook) => [hook, () => undefined]));
  return { ...definition, create: () => ({ hooks }) };
}
