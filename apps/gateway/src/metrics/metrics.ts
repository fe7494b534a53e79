import { collectDefaultMetrics, Registry } from "prom-client";
import type { MetricSource } from "./counter.ts";
import { HttpMetrics } from "./http-metrics.ts";
import { LimiterMetrics } from "./limiter-metrics.ts";
import { PluginMetrics } from "./plugin-metrics.ts";
import { PoolMetrics } from "./pool-metrics.ts";
import { ReplicaMetrics } from "./replica-metrics.ts";
import { RetryMetrics } from "./retry-metrics.ts";

/** Everything that is measured, and its text for Prometheus. The only place that knows Prometheus. */
export class Metrics {
  readonly http = new HttpMetrics();
  readonly retry = new RetryMetrics();
  readonly pool = new PoolMetrics();
  readonly plugins = new PluginMetrics();
  readonly limiter = new LimiterMetrics();
  readonly replicas = new ReplicaMetrics();
  readonly #registry = new Registry();

  constructor(options: { readonly processMetrics: boolean }) {
    if (options.processMetrics) collectDefaultMetrics({ register: this.#registry });
    const { http, retry, pool, plugins, limiter, replicas } = this;
    for (const source of [
      http.duration,
      retry.attempts,
      retry.retries,
      retry.giveUps,
      pool.opened,
      pool.closed,
      pool.connectFailures,
      pool.breakerChanges,
      plugins.duration,
      plugins.verdicts,
      plugins.shadowBlocks,
      limiter.checks,
      limiter.degraded,
      limiter.storeErrors,
      ...replicas.sources(),
    ]) {
      this.add(source);
    }
  }

  /** Adds a metric to the text. */
  add(source: MetricSource): void {
    const { name, help, type } = source;
    const metric = {
      name,
      help,
      type,
      get: async () => ({ name, help, type, values: source.samples(), aggregator: "sum" }),
      reset: () => undefined,
    };
    this.#registry.registerMetric(metric as never);
  }

  /** MIME type of {@link Metrics.text}. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The exposition text. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
