import type { PluginPipeline } from "@gatewright/plugin-framework";
import type { Logger } from "pino";
import type { RetryLayer } from "../calls/retry-layer.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { createPluginControl, type PluginControl } from "../plugins/plugin-control.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";
import type { Registry } from "../registry/registry.ts";
import { type PipelineWiring, wirePipeline } from "../wiring/plugin-framework.ts";
import { wireRateLimiter } from "../wiring/rate-limiter.ts";
import { wireRetry } from "../wiring/retry-backoff.ts";
import type { WorkerLink } from "../workers/worker-link.ts";

/** What plugins are put together with. */
export interface PluginSideDeps {
  readonly redis: RedisConnections | undefined;
  readonly registry: Registry;
  /** Whether the registry can be read already. */
  readonly prepared: boolean;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly worker: WorkerLink | undefined;
}

/** The plugins, the switch of their modes, and the attempts that one of them asks for. */
export interface PluginSide {
  readonly pipeline: PluginPipeline;
  readonly control: PluginControl;
  readonly retries: RetryLayer;
  /** Makes the plugins those of another configuration. */
  readonly reload: PipelineWiring["reload"];
}

/**
 * Puts limiter, retry and configured plugins into one pipeline, and starts them in the modes in force.
 *
 * @throws {ConfigError} when a plugin does not exist or its configuration is wrong
 */
export async function createPluginSide(config: GatewayConfig, deps: PluginSideDeps): Promise<PluginSide> {
  const { redis, registry, prepared, metrics, logger, worker } = deps;
  const control = await createPluginControl(redis, registry.plugins, logger, prepared, worker);
  const { definition: retry, layer: retries } = await wireRetry(config, {
    redis,
    metrics: metrics.retry,
    circuitOpen: (serverId) => metrics.pool.isOpen(serverId),
    enabled: (tenantId) =>
      pipeline.explainMode("retry", tenantId === undefined ? {} : { tenantId }).mode !== "disabled",
    onWarning: (warning) => logger.warn({ warning }, "a retry policy was clamped"),
  });
  const plugins: PipelineWiring = await wirePipeline(
    config,
    {
      rate_limiter: await wireRateLimiter({
        redis,
        replicas: () => control.board.count,
        observer: metrics.limiter.observer,
        workers: worker?.count,
      }),
      retry,
    },
    { ...control.deps, observer: { ...metrics.plugins.observer, ...control.observer } },
  );
  const pipeline: PluginPipeline = plugins.pipeline;
  await control.start(pipeline);
  return { pipeline, control, retries, reload: (next) => plugins.reload(next) };
}
