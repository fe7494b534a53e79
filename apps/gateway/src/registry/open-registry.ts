import { join } from "node:path";
import type { Logger } from "pino";
import { usesPostgres } from "../config/db-resilience.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import type { WorkerLink } from "../workers/worker-link.ts";
import type { Registry } from "./registry.ts";
import { openSqliteRegistry } from "./sqlite-registry.ts";

/** What a registry is opened with. */
export interface OpenRegistryDeps {
  readonly secret: GatewaySecret;
  readonly redis: RedisConnections | undefined;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** This process as one of several workers of a primary. */
  readonly worker?: WorkerLink | undefined;
}

/** Opens the registry that the configuration names. What only PostgreSQL needs is loaded only for it. */
export async function openRegistry(config: GatewayConfig, deps: OpenRegistryDeps): Promise<Registry> {
  const { url, busyTimeoutMs, pollMs = 500 } = config.database;
  if (usesPostgres(config.database)) {
    const { wireDatabase } = await import("../wiring/db-resilience.ts");
    return wireDatabase(config, deps);
  }
  return openSqliteRegistry({
    path: url?.slice("sqlite:".length) ?? join(config.server.dataDir, "registry.db"),
    busyTimeoutMs,
    pollMs,
    secret: deps.secret,
  });
}
