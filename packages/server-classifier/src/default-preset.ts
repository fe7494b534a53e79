import type { Classification, ServerHistory } from "./classification.ts";
import type { KnownServer, Tier } from "./known-server.ts";
import type { Ranking } from "./settings.ts";
import type { ServerUsage } from "./usage-source.ts";

interface Candidate {
  readonly id: string;
  readonly url: string;
  readonly used: ServerUsage;
  readonly past: ServerHistory | undefined;
  readonly decayed: number;
  readonly score: number;
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
  history: ReadonlyMap<string, ServerHistory>,
): Classification {
  const hotCap = Math.min(
    servers.length,
    Math.max(settings.minHot, Math.floor(settings.ratio * servers.length)),
  );
  const warmCap = hotCap + Math.floor(settings.warmRatio * servers.length);
  const candidates = servers.map((server) =>
    candidateOf(server, usage.get(server.id), settings, now, history),
  );
  const free = candidates.filter(({ id, used }) => settings.pins[id] === undefined && used.lastUsedAt > 0);
  free.sort(hottestFirst);
  const ranks = new Map(free.map(({ id }, index) => [id, index + 1]));
  const next = new Map<string, ServerHistory>();
  for (const candidate of candidates) {
    next.set(
      candidate.id,
      place(candidate, ranks.get(candidate.id) ?? 0, { hotCap, warmCap, settings, now }),
    );
  }
  const tiers = new Map<string, Tier>([...next].map(([id, { tier }]) => [id, tier]));
  const eligibleCount = candidates.filter(({ used }) => used.lastUsedAt > 0).length;
  const hotActual = [...tiers.values()].filter((tier) => tier === "hot").length;
  return {
    tiers,
    history: next,
    metadata: {
      totalServers: servers.length,
      hotCap,
      hotActual,
      eligibleCount,
      timestamp: now,
      ...(hotActual < hotCap && {
        underutilizedReason: `only ${hotActual} of ${hotCap} hot places are taken: no other server was used`,
      }),
    },
  };
}

function candidateOf(
  server: KnownServer,
  usage: ServerUsage | undefined,
  { halfLifeMs }: Ranking,
  now: number,
  history: ReadonlyMap<string, ServerHistory>,
): Candidate {
  const past = history.get(server.id);
  const used = usage ?? {
    serverId: server.id,
    lastUsedAt: past?.lastUsedAt ?? 0,
    active: 0,
    uses: 0,
    sessions: 0,
  };
  // A total below the last one is a store that lost its counts: everything in it is new.
  const fresh = past === undefined || used.uses < past.uses ? used.uses : used.uses - past.uses;
  const halved = past === undefined ? 0 : past.decayed * fade(now - past.updatedAt, halfLifeMs);
  const decayed = halved + fresh;
  const recency = used.lastUsedAt > 0 ? fade(now - used.lastUsedAt, halfLifeMs) : 0;
  return {
    id: server.id,
    url: server.url ?? server.id,
    used,
    past,
    decayed,
    score: decayed + used.active + recency,
  };
}

function fade(ageMs: number, halfLifeMs: number): number {
  return 2 ** (-Math.max(0, ageMs) / halfLifeMs);
}

function hottestFirst(a: Candidate, b: Candidate): number {
  return (
    b.score - a.score ||
    b.used.lastUsedAt - a.used.lastUsedAt ||
    b.used.active - a.used.active ||
    b.used.uses - a.used.uses ||
    (a.url < b.url ? -1 : a.url > b.url ? 1 : a.id < b.id ? -1 : 1)
  );
}

interface Limits {
  readonly hotCap: number;
  readonly warmCap: number;
  readonly settings: Ranking;
  readonly now: number;
}

function place(candidate: Candidate, rank: number, limits: Limits): ServerHistory {
  const { id, used, past, decayed, score } = candidate;
  const { settings, now } = limits;
  const base = {
    decayed,
    uses: used.uses,
    updatedAt: now,
    firstSeenAt: past?.firstSeenAt ?? now,
    score,
    rank,
    lastUsedAt: used.lastUsedAt,
    active: used.active,
  };
  const stay = (outRuns: number, why: string): ServerHistory => ({
    ...base,
    tier: past?.tier ?? "cold",
    since: past?.since ?? now,
    outRuns,
    why,
  });
  const move = (tier: Tier, why: string): ServerHistory =>
    past?.tier === tier ? stay(0, why) : { ...base, tier, since: now, outRuns: 0, why };
  const pinned = settings.pins[id];
  if (pinned !== undefined) return move(pinned, "pinned by the operator");
  const [wanted, why] = wish(candidate, rank, base.firstSeenAt, limits);
  if (past === undefined || HEAT[wanted] >= HEAT[past.tier]) return move(wanted, why);
  const cap = past.tier === "hot" ? limits.hotCap : past.tier === "warm" ? limits.warmCap : 0;
  if (rank > 0 && rank <= cap * settings.leaveFactor)
    return stay(0, `rank ${rank} is within reach of the cap ${cap}`);
  const outRuns = past.outRuns + 1;
  if (outRuns < settings.leaveRuns)
    return stay(outRuns, `out of its tier for ${outRuns} of ${settings.leaveRuns} runs`);
  if (now - past.since < settings.minDwellMs) return stay(outRuns, "in its tier too shortly to leave it");
  return move(wanted, why);
}

const HEAT: Readonly<Record<Tier, number>> = { hot: 3, warm: 2, cold: 1, dormant: 0 };

/** The tier by rank and age alone, without inertia. */
function wish({ used }: Candidate, rank: number, firstSeenAt: number, limits: Limits): [Tier, string] {
  const { hotCap, warmCap, settings, now } = limits;
  if (rank > 0 && rank <= hotCap) return ["hot", `rank ${rank} of at most ${hotCap}`];
  if (settings.tiers === 2)
    return ["cold", rank === 0 ? "never used" : `rank ${rank} past the cap ${hotCap}`];
  const idleSince = Math.max(used.lastUsedAt, used.lastUsedAt > 0 ? 0 : firstSeenAt);
  if (now - idleSince >= settings.dormantAfterMs) return ["dormant", "unused for long"];
  if (rank > 0 && rank <= warmCap) return ["warm", `rank ${rank} of at most ${warmCap}`];
  return ["cold", rank === 0 ? "never used" : `rank ${rank} past the caps`];
}
