import { type Classification, classificationOf, type ServerHistory } from "./classification.ts";
import type { KnownServer, Tier } from "./known-server.ts";
import type { ServerUsage } from "./usage-source.ts";

const HOT_SHARE = 0.2;

/**
 * The seed's algorithm: the most recently used fifth of the servers is hot, everything else cold.
 * Ties go by active sessions, uses, then URL. No server is hot below five servers.
 *
 * @param servers enabled and without duplicates.
 * @param usage one entry per server.
 */
export function classifyLikeContextForge(
  servers: readonly KnownServer[],
  usage: ReadonlyMap<string, ServerUsage>,
  now: number,
  before: ReadonlyMap<string, ServerHistory>,
): Classification {
  const hotCap = Math.floor(HOT_SHARE * servers.length);
  const eligible: Eligible[] = [];
  for (const { id, url = id } of servers) {
    const used = usage.get(id);
    if (used !== undefined && used.lastUsedAt > 0) eligible.push({ id, url, used });
  }
  eligible.sort(mostRecentFirst);
  const ranks = new Map<string, number>();
  for (let i = 0; i < eligible.length; i++) ranks.set((eligible[i] as Eligible).id, i + 1);
  const history = new Map<string, ServerHistory>();
  for (const { id } of servers) {
    const rank = ranks.get(id) ?? 0;
    const tier = rank > 0 && rank <= hotCap ? "hot" : "cold";
    history.set(id, historyOf(tier, rank, usage.get(id), before.get(id), now));
  }
  return classificationOf(history, {
    totalServers: servers.length,
    hotCap,
    hotActual: Math.min(hotCap, eligible.length),
    eligibleCount: eligible.length,
    timestamp: now,
    ...(eligible.length < hotCap && {
      underutilizedReason: `only ${eligible.length} of ${hotCap} hot places are taken: no other server was used`,
    }),
  });
}

interface Eligible {
  readonly id: string;
  readonly url: string;
  readonly used: ServerUsage;
}

function mostRecentFirst(a: Eligible, b: Eligible): number {
  return (
    b.used.lastUsedAt - a.used.lastUsedAt ||
    b.used.activeSessions - a.used.activeSessions ||
    b.used.totalUses - a.used.totalUses ||
    compare(a.url, b.url) ||
    compare(a.id, b.id)
  );
}

function historyOf(
  tier: Tier,
  rank: number,
  used: ServerUsage | undefined,
  past: ServerHistory | undefined,
  now: number,
): ServerHistory {
  return {
    tier,
    since: past?.tier === tier ? past.since : now,
    outRuns: 0,
    decayed: 0,
    updatedAt: now,
    uses: used?.totalUses ?? 0,
    firstSeenAt: past?.firstSeenAt ?? now,
    score: used?.lastUsedAt ?? 0,
    rank,
    lastUsedAt: used?.lastUsedAt ?? 0,
    active: used?.activeSessions ?? 0,
    why: rank === 0 ? "never used" : tier === "hot" ? "ranks within the cap" : "ranks past the cap",
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
