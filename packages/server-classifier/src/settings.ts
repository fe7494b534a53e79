import { z } from "zod";

/** Default settings of the ranking. */
export const rankingSchema = z.strictObject({
  preset: z.enum(["default", "contextforge"]).default("default"),
  ratio: z.number().min(0).max(1).default(0.2),
  minHot: z.int().min(0).default(1),
  tiers: z.union([z.literal(2), z.literal(4)]).default(2),
  warmRatio: z.number().min(0).max(1).default(0.3),
  dormantAfterMs: z.int().positive().default(86_400_000),
  halfLifeMs: z.int().positive().default(900_000),
  leaveFactor: z.number().min(1).default(1.25),
  leaveRuns: z.int().min(1).default(2),
  minDwellMs: z.int().min(0).default(600_000),
  pins: z.record(z.string(), z.enum(["hot", "warm", "cold", "dormant"])).default({}),
});

/** How servers are ranked. */
export interface RankingOptions {
  /** `contextforge` is the seed's algorithm and ignores everything below. Default `default`. */
  readonly preset?: "default" | "contextforge" | undefined;
  /** Share of servers that may be hot. Default 0.2. */
  readonly ratio?: number | undefined;
  /** Hot places there are at least, however few servers. Default 1. */
  readonly minHot?: number | undefined;
  /** 2: hot and cold. 4: also warm and dormant. Default 2. */
  readonly tiers?: 2 | 4 | undefined;
  /** Share of servers that may be warm. Default 0.3. */
  readonly warmRatio?: number | undefined;
  /** Unused for so long is dormant. Default 24 h. */
  readonly dormantAfterMs?: number | undefined;
  /** After so long a use counts half. Default 15 min. */
  readonly halfLifeMs?: number | undefined;
  /** A hot server leaves when it ranks past this many times the cap. Default 1.25. */
  readonly leaveFactor?: number | undefined;
  /** …in so many runs in a row. Default 2. */
  readonly leaveRuns?: number | undefined;
  /** …and has been in its tier for so long. Default 10 min. */
  readonly minDwellMs?: number | undefined;
  /** Tiers fixed by the operator, by server id. They take no place from others. */
  readonly pins?: Readonly<Record<string, "hot" | "warm" | "cold" | "dormant">> | undefined;
}

/** Checked {@link RankingOptions}. */
export type Ranking = z.output<typeof rankingSchema>;
