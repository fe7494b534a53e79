import { z } from "zod";
import type { Tier } from "./known-server.ts";

/** Checks {@link ScheduleOptions}. */
export const scheduleSchema = z.strictObject({
  refreshIntervalMs: z.int().positive().default(300_000),
  multipliers: z
    .strictObject({
      hot: z.number().positive().default(1),
      warm: z.number().positive().default(2),
      cold: z.number().positive().default(3),
      dormant: z.number().positive().default(6),
    })
    .prefault({}),
  jitter: z.number().min(0).max(0.5).default(0.1),
  spread: z.boolean().default(true),
  claimMs: z.int().positive().default(60_000),
  debounceMs: z.int().min(0).default(1_000),
  failureBaseMs: z.int().positive().default(10_000),
  failureMaxMs: z.int().positive().default(900_000),
  maxTtlMs: z.int().positive().default(86_400_000),
  maxPollsPerSecond: z.number().positive().default(20),
  maxScopes: z.int().positive().default(100_000),
});

/** How polls are scheduled. Times are whole milliseconds. */
export interface ScheduleOptions {
  /** Interval of a hot server. Default 300 000. */
  readonly refreshIntervalMs?: number | undefined;
  /** Interval of a tier, in refresh intervals. Default hot 1, warm 2, cold 3, dormant 6. */
  readonly multipliers?: Readonly<Partial<Record<Tier, number>>> | undefined;
  /** Share by which intervals vary both ways. Default 0.1. */
  readonly jitter?: number | undefined;
  /** Shorten the interval after a server's first poll to its own phase. Default true. */
  readonly spread?: boolean | undefined;
  /** A claim that is neither completed nor abandoned is free again after this. Default 60 000. */
  readonly claimMs?: number | undefined;
  /** Notices of change within this time make one poll. Default 1 000. */
  readonly debounceMs?: number | undefined;
  /** First pause after a failed poll; doubles with each. Default 10 000. */
  readonly failureBaseMs?: number | undefined;
  /** Longest pause after failed polls. Default 900 000. */
  readonly failureMaxMs?: number | undefined;
  /** Longest `ttlMs` of a server that is honoured. Default 24 h. */
  readonly maxTtlMs?: number | undefined;
  /** Polls this process claims per second at most. Default 20. */
  readonly maxPollsPerSecond?: number | undefined;
  /** Polls remembered at most. Default 100 000. */
  readonly maxScopes?: number | undefined;
}
