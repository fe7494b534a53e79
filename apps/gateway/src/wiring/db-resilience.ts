import { createDatabaseMetrics, type ResilientDatabaseOptions } from "@gatewright/db-resilience";
import { createRedisFenceStore } from "@gatewright/db-resilience/redis";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { createDatabaseLog } from "../metrics/database-log.ts";
import { databaseSources } from "../metrics/database-metrics.ts";
import type { OpenRegistryDeps } from "../registry/open-registry.ts";
import { openPostgresRegistry } from "../registry/postgres-registry.ts";
import type { Registry } from "../registry/registry.ts";
import { acceptTogether } from "../workers/accept-together.ts";

/** Beyond its deadlines for a connection and a statement a request may take this much longer. */
const graceMs = 500;

/** The registry in PostgreSQL: its fence in Redis where that is set, its counters and events told. */
export function wireDatabase(config: GatewayConfig, deps: OpenRegistryDeps): Registry {
  const { redis, metrics, logger, secret, worker } = deps;
  const { database } = config;
  const measured = createDatabaseMetrics(createDatabaseLog(logger));
  const registry = openPostgresRegistry({
    secret,
    redis,
    database: databaseOptions(database),
    requestMs: database.pool.acquireTimeoutMs + database.statementTimeoutMs + graceMs,
    pollMs: database.pollMs ?? 2_000,
    observer: measured.observer,
    onOpen: (stats) => {
      for (const source of databaseSources(() => measured.collect(stats()))) metrics.add(source);
    },
    ...(redis === undefined
      ? {}
      : { fenceStore: createRedisFenceStore(redis.commands, { prefix: redis.prefix }) }),
  });
  return worker === undefined ? registry : acceptTogether(registry, worker.primary);
}

function databaseOptions(database: GatewayConfig["database"]): ResilientDatabaseOptions {
  const { url = "", pool, onUnknownFence } = database;
  return {
    connectionString: url,
    pooler: database.pooler,
    pool,
    timeouts: {
      statementMs: database.statementTimeoutMs,
      lockMs: database.lockTimeoutMs,
      // No transaction here waits between two statements: one that does has lost its client, and holds locks.
      idleInTransactionMs: database.statementTimeoutMs,
      transactionMs: database.transactionTimeoutMs,
    },
    monitor: { intervalMs: database.checkIntervalMs },
    replicas: { maxLagMs: database.maxReplicaLagMs },
    ...(onUnknownFence === undefined ? {} : { fencing: { onUnknown: onUnknownFence } }),
  } satisfies ResilientDatabaseOptions;
}
