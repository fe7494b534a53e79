export type { ChannelHearer } from "./channel-listener.ts";
export {
  type ClassifyOptions,
  classifyDbError,
  type DbErrorClassification,
  toDatabaseError,
} from "./classify-db-error.ts";
export type { Clock, TimerHandle } from "./clock.ts";
export type { DatabaseHandle } from "./database-internals.ts";
export { createDatabaseMetrics, type DatabaseMetrics, type MetricSample } from "./database-metrics.ts";
export type { DatabaseSession, SessionStatementOptions } from "./database-session.ts";
export {
  DatabaseError,
  type DatabaseErrorClass,
  type DatabaseErrorCode,
  type DatabaseErrorInit,
  TransactionOutcomeUnknown,
} from "./errors.ts";
export { createMemoryFenceStore, type Fence, type FenceStore } from "./fence-store.ts";
export type { HistogramValue } from "./histogram.ts";
export type { DatabaseEvent, DatabaseObserver, QueryOutcome } from "./observer.ts";
export type {
  FencingOptions,
  HostAddress,
  MonitorOptions,
  PoolOptions,
  ReplicaOptions,
  ResilientDatabaseOptions,
  TargetSessionAttrs,
  TimeoutOptions,
  TransactionDefaults,
} from "./options.ts";
export type { PoolStats } from "./pool-context.ts";
export type { QueryResult, Row, Statement } from "./query-result.ts";
export { createReadSession, type ReadSession } from "./read-session.ts";
export type { Readiness } from "./readiness.ts";
export {
  type ConnectionOptions,
  createResilientDatabase,
  type DatabaseStats,
  type KyselySession,
  type KyselyTransaction,
  type ResilientDatabase,
  type ResilientDatabaseDeps,
} from "./resilient-database.ts";
export type { ErrorRow } from "./sqlstate-table.ts";
export type { ReadOptions } from "./standby-proof.ts";
export { resilienceTables } from "./tables.ts";
export type { IsolationLevel, TransactionOptions, TransactionSession } from "./transaction-options.ts";
