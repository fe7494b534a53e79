import type { HistogramSnapshot } from "./histogram.ts";
import type { PoolState } from "./pool-state.ts";

/** What one server was used for. Leases with purpose probe appear nowhere in it. */
export interface UsageRecord {
  readonly serverId: string;
  /** Epoch milliseconds; 0 before the first use. */
  readonly lastUsedAt: number;
  /** Sessions that are leased now. */
  readonly activeSessions: number;
  /** Sessions that wait in the pool. */
  readonly pooledSessions: number;
  readonly totalUses: number;
  /** Uses that ended with an error of any kind but cancellation. */
  readonly errors: number;
  /** How long leases were held. */
  readonly latency: HistogramSnapshot;
}

/** One use, as it ended. */
export interface UsageDelta {
  readonly serverId: string;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly uses: 1;
  readonly errors: 0 | 1;
  readonly latencyMs: number;
}

/** Frozen records of all servers the pool remembers. */
export function usageRecords<S, C>(state: PoolState<S, C>): readonly UsageRecord[] {
  const gauges = new Map<string, { active: number; pooled: number }>();
  for (const { key, entries } of state.buckets.values()) {
    const gauge = gauges.get(key.serverId) ?? { active: 0, pooled: 0 };
    for (const entry of entries) {
      if (entry.inFlight > entry.probesInFlight) gauge.active++;
      else gauge.pooled++;
    }
    gauges.set(key.serverId, gauge);
  }
  const behindMs = state.clock.wallNow() - state.clock.now();
  const records = [...state.servers.values()].map((server) =>
    Object.freeze({
      serverId: server.id,
      lastUsedAt: server.lastUsedMs === undefined ? 0 : Math.round(server.lastUsedMs + behindMs),
      activeSessions: gauges.get(server.id)?.active ?? 0,
      pooledSessions: gauges.get(server.id)?.pooled ?? 0,
      totalUses: server.totalUses,
      errors: server.errors,
      latency: server.latency.snapshot(),
    }),
  );
  return Object.freeze(records);
}
