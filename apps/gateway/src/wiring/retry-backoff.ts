import type { PluginDefinition } from "@gatewright/plugin-framework";
import { retryPlugin } from "@gatewright/retry-backoff/plugin";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { RetryMetrics } from "../metrics/retry-metrics.ts";

/** The built-in plugin `retry`: it asks for attempts, the gateway's call loop makes them. */
export function wireRetry(
  config: GatewayConfig["retry"],
  metrics: RetryMetrics,
  circuitOpen: (serverId: string) => boolean,
): PluginDefinition {
  return retryPlugin({
    maxToolRetries: config.maxToolRetries,
    circuitOpen,
    observer: {
      onRetry: (decision) => metrics.retried(decision.reason),
      onGiveUp: (decision) => metrics.gaveUp(decision.reason),
    },
  }) satisfies PluginDefinition;
}
