import type { Registry } from "prom-client";
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
  readonly #sources: MetricSource[] = [];
  readonly #processMetrics: boolean;
  #registry: Promise<Registry> | undefined;

  constructor(options: { readonly processMetrics: boolean }) {
    this.#processMetrics = options.processMetrics;
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
    this.#sources.push(source);
    void this.#registry?.then((registry) => register(registry, source));
  }

  /** Begins to watch the process itself, where that is wanted; else {@link text} does when it is first asked for. */
  watchProcess(): void {
    if (this.#processMetrics) void this.#load();
  }

  /** MIME type of {@link Metrics.text}. */
  readonly contentType = "text/plain; version=0.0.4; charset=utf-8";

  /** The exposition text. */
  async text(): Promise<string> {
    return (await this.#load()).metrics();
  }

  // Loaded late: what nobody has asked for yet need not delay a start.
  #load(): Promise<Registry> {
    this.#registry ??= import("prom-client").then(({ collectDefaultMetrics, Registry }) => {
      const registry = new Registry();
      if (this.#processMetrics) collectDefaultMetrics({ register: registry });
      for (const source of this.#sources) register(registry, source);
      return registry;
    });
    return this.#registry;
  }
}

function register(registry: Registry, source: MetricSource): void {
  const { name, help, type } = source;
  const metric = {
    name,
    help,
    type,
    get: async () => ({ name, help, type, values: source.samples(), aggregator: "sum" }),
    reset: () => undefined,
  };
  registry.registerMetric(metric as never);
}
