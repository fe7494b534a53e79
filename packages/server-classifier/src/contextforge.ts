import { type Classification, classificationOf } from "./classification.ts";
import { rank } from "./rank.ts";
import type { Roster } from "./roster.ts";

const HOT_SHARE = 0.2;

/**
 * The seed's algorithm: the most recently used fifth of the servers is hot, everything else cold.
 * Ties go by active sessions, uses, then URL. No server is hot below five servers.
 */
export function classifyLikeContextForge({ history, candidates }: Roster, now: number): Classification {
  const totalServers = candidates.length;
  const hotCap = Math.floor(HOT_SHARE * totalServers);
  const eligible = candidates.filter(({ entry }) => entry.lastUsedAt > 0);
  for (const { entry } of eligible) entry.score = entry.lastUsedAt;
  rank(eligible);
  for (const { entry, past } of candidates) {
    const hot = entry.rank > 0 && entry.rank <= hotCap;
    entry.tier = hot ? "hot" : "cold";
    entry.why = hot ? "ranks within the cap" : entry.rank === 0 ? "never used" : "ranks past the cap";
    if (past?.tier === entry.tier) entry.since = past.since;
  }
  const eligibleCount = eligible.length;
  return classificationOf(history, {
    totalServers,
    hotCap,
    hotActual: Math.min(hotCap, eligibleCount),
    eligibleCount,
    timestamp: now,
    ...(eligibleCount < hotCap && {
      underutilizedReason: `only ${eligibleCount} of ${hotCap} hot places are taken: no other server was used`,
    }),
  });
}
