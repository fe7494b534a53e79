import type { Classification, ServerHistory } from "./classification.ts";
import { classifyLikeContextForge } from "./contextforge.ts";
import { classifyByDefault } from "./default-preset.ts";
import type { KnownServer } from "./known-server.ts";
import { parseOptions } from "./parse-options.ts";
import { createRoster } from "./roster.ts";
import { type Ranking, type RankingOptions, rankingSchema } from "./settings.ts";
import type { ServerUsage } from "./usage-source.ts";

const none: ReadonlyMap<string, ServerHistory> = new Map();

/**
 * Gives every enabled server exactly one tier. Pure and deterministic: the order of the inputs does not
 * matter, duplicates are merged, usage of unknown servers is skipped.
 *
 * @param preset a preset's name, or options.
 * @param now epoch milliseconds, on the clock of `lastUsedAt`.
 * @param history of the run before; the default preset needs it to be calm, the first run has none.
 * @throws ClassifierError `invalid_options`.
 */
export function classify(
  servers: Iterable<KnownServer>,
  usage: Iterable<ServerUsage>,
  preset: "default" | "contextforge" | RankingOptions,
  now: number,
  history: ReadonlyMap<string, ServerHistory> = none,
): Classification {
  const ranking = parseOptions(rankingSchema, typeof preset === "string" ? { preset } : preset);
  return classifyWith(servers, usage, ranking, now, history);
}

/** {@link classify} with options that are already checked. */
export function classifyWith(
  servers: Iterable<KnownServer>,
  usage: Iterable<ServerUsage>,
  ranking: Ranking,
  now: number,
  before: ReadonlyMap<string, ServerHistory>,
): Classification {
  const roster = createRoster(servers, usage, now, before);
  return ranking.preset === "contextforge"
    ? classifyLikeContextForge(roster, now)
    : classifyByDefault(roster, ranking, now);
}
