import { type Classification, classificationOf, type ServerHistory } from "./classification.ts";
import type { KnownServer, Tier } from "./known-server.ts";
import type { Ranking } from "./settings.ts";
import type { ServerUsage } from "./usage-source.ts";

interface Candidate {
  readonly id: string;
  readonly url: string;
  readonly used: ServerUsage;
  readonly past: ServerHistory | undefined;
  readonly pinned: Tier | undefined;
  readonly decayed: number;
  readonly score: number;
  rank: number;
}

interface Limits {
  readonly hotCap: number;
  readonly warmCap: number;
  readonly settings: Ranking;
  readonly now: number;
}

/**
 * Ranks by decayed use rate with recency and active sessions, and moves a server only when that is sure to
 * last: it enters a tier at the tier's cap and leaves past `leaveFactor` × the cap, `leaveRuns` runs in a row,
 * after `minDwellMs`.
 */
export function classifyByDefault(
  servers: readonly KnownServer[],
  usage: ReadonlyMap<string, ServerUsage>,
  settings: Ranking,
  now: number,
  before: ReadonlyMap<string, ServerHistory>,
): Classification {
  const hotCap = Math.min(
    servers.length,
    Math.max(settings.minHot, Math.floor(settings.ratio * servers.length)),
  );
  const warmCap = hotCap + Math.floor(settings.warmRatio * servers.length);
  const limits = { hotCap, warmCap, settings, now };
  const candidates = servers.map((server) => candidateOf(server, usage, settings, now, before));
  const eligible = candidates.filter(({ used }) => used.lastUsedAt > 0);
  const ranked = eligible.filter(({ pinned }) => pinned === undefined).sort(hottestFirst);
  for (let i = 0; i < ranked.length; i++) (ranked[i] as Candidate).rank = i + 1;
  const history = new Map<string, ServerHistory>();
  let hotActual = 0;
  for (const candidate of candidates) {
    const seen = place(candidate, limits);
    if (seen.tier === "hot") hotActual++;
    history.set(candidate.id, seen);
  }
  return classificationOf(history, {
    totalServers: servers.length,
    hotCap,
    hotActual,
    eligibleCount: eligible.length,
    timestamp: now,
    ...(hotActual < hotCap && {
      underutilizedReason: `only ${hotActual} of ${hotCap} hot places are taken: no other server was used`,
    }),
  });
}

function candidateOf(
  server: KnownServer,
  usage: ReadonlyMap<string, ServerUsage>,
  { halfLifeMs, pins }: Ranking,
  now: number,
  before: ReadonlyMap<string, ServerHistory>,
): Candidate {
  const { id, tier: pinned = pins[id] } = server;
  const past = before.get(id);
  const reported = usage.get(id) ?? unused(id);
  // A store that lost its times does not make a server unused.
  const lastUsedAt = past?.lastUsedAt ?? 0;
  const used = reported.lastUsedAt >= lastUsedAt ? reported : { ...reported, lastUsedAt };
  // A total below the last one is a store that lost its counts: everything in it is new.
  const fresh =
    past === undefined || used.totalUses < past.uses ? used.totalUses : used.totalUses - past.uses;
  const decayed = fresh + (past === undefined ? 0 : past.decayed * fade(now - past.updatedAt, halfLifeMs));
  const recency = used.lastUsedAt > 0 ? fade(now - used.lastUsedAt, halfLifeMs) : 0;
  const score = decayed + used.activeSessions + recency;
  return { id, url: server.url ?? id, used, past, pinned, decayed, score, rank: 0 };
}

function unused(serverId: string): ServerUsage {
  return { serverId, lastUsedAt: 0, activeSessions: 0, totalUses: 0, pooledSessions: 0 };
}

function fade(ageMs: number, halfLifeMs: number): number {
  return 2 ** (-Math.max(0, ageMs) / halfLifeMs);
}

function hottestFirst(a: Candidate, b: Candidate): number {
  return (
    b.score - a.score ||
    b.used.lastUsedAt - a.used.lastUsedAt ||
    b.used.activeSessions - a.used.activeSessions ||
    b.used.totalUses - a.used.totalUses ||
    (a.url < b.url ? -1 : a.url > b.url ? 1 : a.id < b.id ? -1 : 1)
  );
}

function place(candidate: Candidate, limits: Limits): ServerHistory {
  const { used, past, rank } = candidate;
  const { now } = limits;
  const [tier, outRuns, why] = settle(candidate, limits);
  return {
    tier,
    since: past?.tier === tier ? past.since : now,
    outRuns,
    decayed: candidate.decayed,
    updatedAt: now,
    uses: used.totalUses,
    firstSeenAt: past?.firstSeenAt ?? now,
    score: candidate.score,
    rank,
    lastUsedAt: used.lastUsedAt,
    active: used.activeSessions,
    why,
  };
}

const HEAT: Readonly<Record<Tier, number>> = { hot: 3, warm: 2, cold: 1, dormant: 0 };

/** The tier with inertia: up at once, down only when out of reach, long enough and often enough. */
function settle(candidate: Candidate, limits: Limits): readonly [tier: Tier, outRuns: number, why: string] {
  const { past, rank, pinned } = candidate;
  const { settings, now } = limits;
  if (pinned !== undefined) return [pinned, 0, "pinned by the operator"];
  const [wanted, why] = wish(candidate, limits);
  if (past === undefined || HEAT[wanted] >= HEAT[past.tier]) return [wanted, 0, why];
  const cap = past.tier === "hot" ? limits.hotCap : past.tier === "warm" ? limits.warmCap : 0;
  if (rank > 0 && rank <= cap * settings.leaveFactor) {
    return [past.tier, 0, "ranks past the cap, but within reach of it"];
  }
  const outRuns = past.outRuns + 1;
  if (outRuns < settings.leaveRuns) {
    return [past.tier, outRuns, "ranks out of its tier, but not for enough runs yet"];
  }
  if (now - past.since < settings.minDwellMs)
    return [past.tier, outRuns, "ranks out of its tier, but has not been in it long enough to leave"];
  return [wanted, 0, why];
}

/** The tier by rank and age alone. */
function wish({ used, rank, past }: Candidate, limits: Limits): readonly [Tier, string] {
  const { hotCap, warmCap, settings, now } = limits;
  if (rank > 0 && rank <= hotCap) return ["hot", "ranks within the cap"];
  if (settings.tiers === 2) return ["cold", rank === 0 ? "never used" : "ranks past the cap"];
  const idleSince = used.lastUsedAt > 0 ? used.lastUsedAt : (past?.firstSeenAt ?? now);
  if (now - idleSince >= settings.dormantAfterMs) return ["dormant", "unused for long"];
  if (rank > 0 && rank <= warmCap) return ["warm", "ranks within the cap of the warm"];
  return ["cold", rank === 0 ? "never used" : "ranks past both caps"];
}
