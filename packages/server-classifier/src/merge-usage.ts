import type { ServerUsage } from "./usage-source.ts";

/** Sums the usage of several replicas or pools per server: latest use, and totals of the rest. */
export function mergeUsage(entries: Iterable<ServerUsage>): Map<string, ServerUsage> {
  const merged = new Map<string, ServerUsage>();
  for (const entry of entries) {
    const known = merged.get(entry.serverId);
    merged.set(
      entry.serverId,
      known === undefined
        ? entry
        : {
            serverId: entry.serverId,
            lastUsedAt: Math.max(known.lastUsedAt, entry.lastUsedAt),
            activeSessions: known.activeSessions + entry.activeSessions,
            totalUses: known.totalUses + entry.totalUses,
            pooledSessions: known.pooledSessions + entry.pooledSessions,
          },
    );
  }
  return merged;
}
