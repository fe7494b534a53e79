import { type Classification, classificationOf, type ServerHistory } from "./classification.ts";
import type { Tier } from "./known-server.ts";
import { rank } from "./rank.ts";
import type { Candidate, Entry, Roster } from "./roster.ts";
import type { Ranking } from "./settings.ts";

interface Limits {
  readonly hotCap: number;
  readonly warmCap: number;
  readonly settings: Ranking;
  readonly pins: ReadonlyMap<string, Tier>;
  readonly now: number;
}

/**
 * Ranks by decayed use rate with recency and active sessions, and moves a server only when that is sure to
 * last: it enters a tier at the tier's cap and leaves past `leaveFactor` × the cap, `leaveRuns` runs in a row,
 * after `minDwellMs`.
 */
export function classifyByDefault(
  { history, candidates }: Roster,
  settings: Ranking,
  now: number,
): Classification {
  const totalServers = candidates.length;
  const { minHot, ratio, warmRatio } = settings;
  const hotCap = Math.min(totalServers, Math.max(minHot, Math.floor(ratio * totalServers)));
  const warmCap = hotCap + Math.floor(warmRatio * totalServers);
  // A property for each id would be looked up four times slower.
  const pins = new Map(Object.entries(settings.pins));
  const limits = { hotCap, warmCap, settings, pins, now };
  const ranked: Candidate[] = [];
  let eligibleCount = 0;
  for (const candidate of candidates) {
    score(candidate, settings.halfLifeMs, now);
    if (candidate.entry.lastUsedAt === 0) continue;
    eligibleCount++;
    if (pinOf(candidate, pins) === undefined) ranked.push(candidate);
  }
  rank(ranked);
  let hotActual = 0;
  for (const candidate of candidates) {
    place(candidate, limits);
    if (candidate.entry.tier === "hot") hotActual++;
  }
  return classificationOf(history, {
    totalServers,
    hotCap,
    hotActual,
    eligibleCount,
    timestamp: now,
    ...(hotActual < hotCap && {
      underutilizedReason: `only ${hotActual} of ${hotCap} hot places are taken: no other server was used`,
    }),
  });
}

function pinOf({ server }: Candidate, pins: ReadonlyMap<string, Tier>): Tier | undefined {
  return server.tier ?? pins.get(server.id);
}

function score({ entry, past }: Candidate, halfLifeMs: number, now: number): void {
  if (past === undefined) {
    entry.decayed = entry.uses;
  } else {
    // A store that lost its times does not make a server unused.
    if (past.lastUsedAt > entry.lastUsedAt) entry.lastUsedAt = past.lastUsedAt;
    // A total below the last one is a store that lost its counts: everything in it is new.
    const fresh = entry.uses < past.uses ? entry.uses : entry.uses - past.uses;
    entry.decayed = fresh + past.decayed * fade(now - past.updatedAt, halfLifeMs);
  }
  const recency = entry.lastUsedAt > 0 ? fade(now - entry.lastUsedAt, halfLifeMs) : 0;
  entry.score = entry.decayed + entry.active + recency;
}

function fade(ageMs: number, halfLifeMs: number): number {
  return ageMs > 0 ? Math.exp((-ageMs * Math.LN2) / halfLifeMs) : 1;
}

const HEAT: Readonly<Record<Tier, number>> = { hot: 3, warm: 2, cold: 1, dormant: 0 };

/** Settles the tier with inertia: up at once, down only when nothing keeps it. */
function place(candidate: Candidate, limits: Limits): void {
  const { entry, past } = candidate;
  const pinned = pinOf(candidate, limits.pins);
  const wanted = pinned === undefined ? wish(entry, limits) : { tier: pinned, why: "pinned by the operator" };
  const falls = pinned === undefined && past !== undefined && HEAT[wanted.tier] < HEAT[past.tier];
  const reason = falls ? reasonToStay(entry, past, limits) : undefined;
  entry.tier = reason === undefined ? wanted.tier : (past?.tier ?? wanted.tier);
  entry.why = reason ?? wanted.why;
  if (past?.tier === entry.tier) entry.since = past.since;
}

/** Why a server does not leave its tier yet, though it ranks below it: in reach, too short or too seldom. */
function reasonToStay(
  entry: Entry,
  past: ServerHistory,
  { hotCap, warmCap, settings, now }: Limits,
): string | undefined {
  // Without warm places nobody has a reason to stay in one.
  const caps: Partial<Record<Tier, number>> =
    settings.tiers === 4 ? { hot: hotCap, warm: warmCap } : { hot: hotCap };
  const cap = caps[past.tier] ?? 0;
  if (entry.rank > 0 && entry.rank <= cap * settings.leaveFactor)
    return "ranks past the cap, but within reach of it";
  const outRuns = past.outRuns + 1;
  const seldom = outRuns < settings.leaveRuns;
  const short = now - past.since < settings.minDwellMs;
  if (!seldom && !short) return undefined;
  entry.outRuns = outRuns;
  return seldom
    ? "ranks out of its tier, but not for enough runs yet"
    : "ranks out of its tier, but has not been in it long enough to leave";
}

interface Wish {
  readonly tier: Tier;
  readonly why: string;
}

const HOT: Wish = { tier: "hot", why: "ranks within the cap" };
const WARM: Wish = { tier: "warm", why: "ranks within the cap of the warm" };
const PAST_CAP: Wish = { tier: "cold", why: "ranks past the cap" };
const PAST_CAPS: Wish = { tier: "cold", why: "ranks past both caps" };
const UNUSED: Wish = { tier: "cold", why: "never used" };
const DORMANT: Wish = { tier: "dormant", why: "unused for long" };

/** The tier by rank and age alone. */
function wish({ rank: at, lastUsedAt, firstSeenAt }: Entry, limits: Limits): Wish {
  const { hotCap, warmCap, settings, now } = limits;
  if (at > 0 && at <= hotCap) return HOT;
  if (settings.tiers === 2) return at === 0 ? UNUSED : PAST_CAP;
  const idleSince = lastUsedAt > 0 ? lastUsedAt : firstSeenAt;
  if (now - idleSince >= settings.dormantAfterMs) return DORMANT;
  if (at > 0 && at <= warmCap) return WARM;
  return at === 0 ? UNUSED : PAST_CAPS;
}
