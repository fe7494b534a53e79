import { z } from "zod";
import { type ScheduleOptions, scheduleSchema } from "./schedule-options.ts";
import { type RankingOptions, rankingSchema } from "./settings.ts";

/** Checks {@link ClassifierOptions}. */
export const classifierSchema = z
  .strictObject({
    enabled: z.boolean().default(true),
    ranking: rankingSchema.prefault({}),
    schedule: scheduleSchema.prefault({}),
    cycleMs: z.int().positive().default(60_000),
    leaseMs: z.int().positive().default(15_000),
    heartbeatMs: z.int().positive().default(5_000),
    errorBackoffMs: z.int().positive().default(30_000),
    inUseMs: z.int().min(0).default(300_000),
  })
  .refine(({ heartbeatMs, leaseMs }) => heartbeatMs < leaseMs, {
    path: ["heartbeatMs"],
    message: "must be less than leaseMs",
  });

/** Options of a classifier; all have defaults. Times are whole milliseconds. */
export interface ClassifierOptions {
  /** Off: nothing is classified, every server is polled at 1×. Default true. */
  readonly enabled?: boolean | undefined;
  /** How servers are ranked. */
  readonly ranking?: RankingOptions | undefined;
  /** How polls are scheduled. */
  readonly schedule?: ScheduleOptions | undefined;
  /** Time between two cycles. Default 60 000. */
  readonly cycleMs?: number | undefined;
  /** A leader that is silent for so long is replaced. A cycle may take 0.8 of it. Default 15 000. */
  readonly leaseMs?: number | undefined;
  /** Renewal of the lease; does not depend on the cycle. Default 5 000. */
  readonly heartbeatMs?: number | undefined;
  /** Pause after a failed cycle. Default 30 000. */
  readonly errorBackoffMs?: number | undefined;
  /** A server used within this time is in use, and its health checks are not slowed. Default 300 000. */
  readonly inUseMs?: number | undefined;
}
