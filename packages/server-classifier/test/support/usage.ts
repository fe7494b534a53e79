import type { KnownServer, ServerUsage, UsageSource } from "../../src/index.ts";

export const servers = (n: number): KnownServer[] => Array.from({ length: n }, (_, i) => ({ id: `s${i}` }));

export const used = (serverId: string, lastUsedAt: number, more: Partial<ServerUsage> = {}): ServerUsage => ({
  serverId,
  lastUsedAt,
  activeSessions: 0,
  totalUses: 1,
  pooledSessions: 1,
  ...more,
});

export const hot = (result: { tiers: ReadonlyMap<string, string> }) =>
  [...result.tiers].filter(([, tier]) => tier === "hot").map(([id]) => id);

/** A source a test writes to. */
export function createUsage(wall: () => number) {
  const entries = new Map<string, ServerUsage>();
  const source: UsageSource = { usage: () => [...entries.values()] };
  return {
    source,
    entries,
    use(serverId: string, times = 1, active = 0) {
      const uses = (entries.get(serverId)?.totalUses ?? 0) + times;
      entries.set(serverId, {
        serverId,
        lastUsedAt: wall(),
        totalUses: uses,
        activeSessions: active,
        pooledSessions: 1,
      });
    },
  };
}
