import type { BreakerState } from "./breaker.ts";
import type { HistogramSnapshot } from "./histogram.ts";
import type { PoolState } from "./pool-state.ts";
import type { CloseReason } from "./session-factory.ts";
import type { SessionStrategy } from "./session-key.ts";

const MAX_KEYS = 1000;

/** Gauges of one key. */
export interface KeyGauges {
  /** Keyed hash, never a credential. */
  readonly keyId: string;
  readonly serverId: string;
  readonly strategy: SessionStrategy;
  readonly sessions: number;
  readonly leases: number;
  readonly connecting: number;
  readonly waiters: number;
}

/** Gauges of one server. */
export interface ServerGauges {
  readonly serverId: string;
  /** Sessions open, opening or closing: what the cap per server counts. */
  readonly sessions: number;
  readonly leases: number;
  readonly waiters: number;
  readonly breaker: BreakerState["kind"];
}

/** A snapshot of a pool. Counters only grow. */
export interface SessionPoolStats {
  /** Leases on a session that had been leased before, and first leases of a session. Probe leases count as neither. */
  readonly hits: number;
  readonly misses: number;
  /** hits / (hits + misses); 0 before the first lease. */
  readonly hitRate: number;
  readonly evictions: Readonly<Partial<Record<CloseReason, number>>>;
  readonly probeFailures: number;
  readonly breakerTrips: number;
  /** How long callers that had to wait have waited. */
  readonly waits: HistogramSnapshot;
  readonly queueDepth: number;
  readonly sessions: number;
  readonly leases: number;
  /** At most 1 000 keys. */
  readonly perKey: readonly KeyGauges[];
  readonly perServer: readonly ServerGauges[];
}

/** Takes the snapshot. */
export function poolStats<S, C>(state: PoolState<S, C>): SessionPoolStats {
  const perKey: KeyGauges[] = [];
  const leasesOf = new Map<string, { leases: number; waiters: number }>();
  let leases = 0;
  for (const bucket of state.buckets.values()) {
    let ofKey = 0;
    for (const entry of bucket.entries) ofKey += entry.inFlight;
    leases += ofKey;
    const server = leasesOf.get(bucket.key.serverId) ?? { leases: 0, waiters: 0 };
    server.leases += ofKey;
    server.waiters += bucket.waiters.size;
    leasesOf.set(bucket.key.serverId, server);
    if (perKey.length < MAX_KEYS) {
      const { id: keyId, serverId, strategy } = bucket.key;
      const connecting = bucket.slots.size;
      const waiters = bucket.waiters.size;
      perKey.push({
        keyId,
        serverId,
        strategy,
        sessions: bucket.entries.size,
        leases: ofKey,
        connecting,
        waiters,
      });
    }
  }
  const perServer = [...state.servers.values()].map((server) => ({
    serverId: server.id,
    sessions: server.scope.used,
    leases: leasesOf.get(server.id)?.leases ?? 0,
    waiters: leasesOf.get(server.id)?.waiters ?? 0,
    breaker: server.breaker.state.kind,
  }));
  const served = state.hits + state.misses;
  return Object.freeze({
    hits: state.hits,
    misses: state.misses,
    hitRate: served === 0 ? 0 : state.hits / served,
    evictions: Object.freeze(Object.fromEntries(state.evictions)),
    probeFailures: state.probeFailures,
    breakerTrips: state.breakerTrips,
    waits: state.waits.snapshot(),
    queueDepth: state.waiting,
    sessions: state.total.used,
    leases,
    perKey,
    perServer,
  });
}
