export type { BreakerState } from "./breaker.ts";
export type { Clock, ClockTimer } from "./clock.ts";
export { createSessionPool } from "./create-session-pool.ts";
export type { DrainReport } from "./drainer.ts";
export { isSessionPoolError, SessionPoolError, type SessionPoolErrorCode } from "./errors.ts";
export type { HistogramSnapshot } from "./histogram.ts";
export type { Lease, ReleaseVerdict } from "./lease.ts";
export { type McpProbeAnswer, type McpProbeOptions, mcpProbes } from "./mcp-probes.ts";
export type { SessionEvent, SessionPoolObserver } from "./observer.ts";
export type { KeyLimits, SessionPoolOptions } from "./pool-options.ts";
export type { KeyGauges, ServerGauges, SessionPoolStats } from "./pool-stats.ts";
export {
  type CloseReason,
  type ConnectOptions,
  type FaultKind,
  type ProbeVerdict,
  type SessionFactory,
  type SessionFault,
  type SessionProbe,
  skipProbe,
} from "./session-factory.ts";
export {
  createSessionKeys,
  isSessionKey,
  type KeyCaller,
  type KeyServer,
  type KeyUpstream,
  type SessionKey,
  type SessionKeys,
  type SessionKeysOptions,
  type SessionStrategy,
} from "./session-key.ts";
export type {
  AcquireOptions,
  DrainTarget,
  RunOptions,
  SessionPool,
  SessionPoolDeps,
} from "./session-pool.ts";
export type { UsageDelta, UsageRecord } from "./usage-record.ts";
