import type { Tier } from "./known-server.ts";

/** What a classification run found. */
export interface ClassificationMetadata {
  /** Enabled servers, without duplicates. */
  readonly totalServers: number;
  /** Places among the hot. */
  readonly hotCap: number;
  /** Servers that are hot now; pins and hysteresis may put it above the cap. */
  readonly hotActual: number;
  /** Servers that were ever used. */
  readonly eligibleCount: number;
  /** When it ran, epoch milliseconds of the shared clock. */
  readonly timestamp: number;
  /** Why fewer are hot than could be. */
  readonly underutilizedReason?: string;
}

/** What the default preset remembers of a server from one run to the next. Plain data. */
export interface ServerHistory {
  readonly tier: Tier;
  /** Since when, epoch milliseconds. */
  readonly since: number;
  /** Consecutive runs in which the server ranked out of its tier. */
  readonly outRuns: number;
  /** Uses, halved every half-life. */
  readonly decayed: number;
  /** Total of uses at the last run. */
  readonly uses: number;
  /** When `decayed` was computed. */
  readonly updatedAt: number;
  readonly firstSeenAt: number;
  readonly score: number;
  /** 1 is the hottest; 0 for servers that are not ranked. */
  readonly rank: number;
  readonly lastUsedAt: number;
  readonly active: number;
  /** One phrase. */
  readonly why: string;
}

/** Result of `classify`: each known server has exactly one tier. */
export interface Classification {
  /** By server id; made when it is first asked for. */
  readonly tiers: ReadonlyMap<string, Tier>;
  readonly metadata: ClassificationMetadata;
  /** To be handed to the next run; {@link ServerHistory} per server. */
  readonly history: ReadonlyMap<string, ServerHistory>;
}

/** Makes a {@link Classification} of its two parts. */
export function classificationOf(
  history: ReadonlyMap<string, ServerHistory>,
  metadata: ClassificationMetadata,
): Classification {
  let tiers: ReadonlyMap<string, Tier> | undefined;
  return {
    history,
    metadata,
    get tiers() {
      tiers ??= new Map([...history].map(([id, { tier }]) => [id, tier]));
      return tiers;
    },
  };
}
