import type { ClassifierStore, UsageDelta } from "./classifier-store.ts";
import type { Clock } from "./clock.ts";
import type { ServerUsage, UsageSource } from "./usage-source.ts";

/** Turns a source's totals into deltas and sends them, each counted once. */
export interface UsageReporter {
  /** One round trip. What could not be sent is part of the next report. */
  flush(ttlMs: number): Promise<void>;
  /** Whether this replica uses the server now. */
  isActive(serverId: string): boolean;
}

interface Sent {
  uses: number;
  lastUsedAt: number;
}

/** Makes a {@link UsageReporter} for one replica. */
export function createUsageReporter(
  replicaId: string,
  source: UsageSource,
  store: ClassifierStore,
  clock: Clock,
): UsageReporter {
  let seq = 0;
  let sent = new Map<string, Sent>();
  let active = new Set<string>();

  const deltaOf = (now: ServerUsage): UsageDelta => {
    const before = sent.get(now.serverId);
    // A total below the last one is a pool that was replaced.
    const uses =
      before === undefined || now.totalUses < before.uses ? now.totalUses : now.totalUses - before.uses;
    const used = now.lastUsedAt > (before?.lastUsedAt ?? 0);
    return {
      serverId: now.serverId,
      uses,
      ageMs: used ? Math.max(0, clock.wall() - now.lastUsedAt) : undefined,
      active: now.activeSessions,
      sessions: now.pooledSessions,
    };
  };

  return {
    async flush(ttlMs) {
      const current = source.usage();
      active = new Set(current.filter((entry) => entry.activeSessions > 0).map(({ serverId }) => serverId));
      const entries = current.map(deltaOf).filter(isNews);
      await store.report({ replicaId, seq: ++seq, entries, ttlMs });
      sent = new Map(
        current.map((entry) => [entry.serverId, { uses: entry.totalUses, lastUsedAt: entry.lastUsedAt }]),
      );
    },
    isActive: (serverId) => active.has(serverId),
  };
}

function isNews({ uses, ageMs, active, sessions }: UsageDelta): boolean {
  return uses > 0 || ageMs !== undefined || active > 0 || sessions > 0;
}
