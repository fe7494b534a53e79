import type { Classification, ServerHistory } from "./classification.ts";
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
  const eligible = servers
    .flatMap((server) => {
      const used = usage.get(server.id);
      return used !== undefined && used.lastUsedAt > 0
        ? [{ id: server.id, url: server.url ?? server.id, used }]
        : [];
    })
    .sort(
      (a, b) =>
        b.used.lastUsedAt - a.used.lastUsedAt ||
        b.used.active - a.used.active ||
        b.used.uses - a.used.uses ||
        compare(a.url, b.url) ||
        compare(a.id, b.id),
    );
  const hot = eligible.slice(0, hotCap).map(({ id }) => id);
  const tiers = new Map<string, Tier>(servers.map(({ id }) => [id, "cold"]));
  for (const id of hot) tiers.set(id, "hot");
  const ranks = new Map(eligible.map(({ id }, index) => [id, index + 1]));
  const history = new Map(
    servers.map(({ id }): [string, ServerHistory] => {
      const tier = tiers.get(id) ?? "cold";
      const past = before.get(id);
      const used = usage.get(id);
      const rank = ranks.get(id) ?? 0;
      return [
        id,
        {
          tier,
          since: past?.tier === tier ? past.since : now,
          outRuns: 0,
          decayed: 0,
          updatedAt: now,
          uses: used?.uses ?? 0,
          firstSeenAt: past?.firstSeenAt ?? now,
          score: used?.lastUsedAt ?? 0,
          rank,
          lastUsedAt: used?.lastUsedAt ?? 0,
          active: used?.active ?? 0,
          why: rank === 0 ? "never used" : `rank ${rank}, cap ${hotCap}, most recent use first`,
        },
      ];
    }),
  );
  return {
    tiers,
    history,
    metadata: {
      totalServers: servers.length,
      hotCap,
      hotActual: hot.length,
      eligibleCount: eligible.length,
      timestamp: now,
      ...(eligible.length < hotCap && {
        underutilizedReason: `only ${eligible.length} of ${hotCap} hot places are taken: no other server was used`,
      }),
    },
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
