import { z } from "zod";

const tier = z.enum(["hot", "warm", "cold", "dormant"]);

/** Which upstreams are hot, and how often upstreams are listed and checked. */
export const classifierConfig = z
  .strictObject({
    enabled: z.boolean().default(true).describe("Off: every upstream is polled at the refresh interval."),
    preset: z
      .enum(["default", "contextforge"])
      .default("default")
      .describe("`contextforge`: the most recently used fifth is hot; pins and the rest do not count then."),
    ratio: z.number().min(0).max(1).default(0.2).describe("Share of upstreams that may be hot."),
    minHot: z.int().min(0).default(1).describe("Hot places there are at least."),
    tiers: z
      .union([z.literal(2), z.literal(4)])
      .default(2)
      .describe("2: hot and cold; 4: also warm and dormant."),
    warmRatio: z.number().min(0).max(1).default(0.3).describe("Share of upstreams that may be warm."),
    dormantAfterMs: z.int().min(1).default(86_400_000).describe("Unused for so long is dormant."),
    halfLifeMs: z.int().min(1).default(900_000).describe("After so long a use counts half."),
    leaveFactor: z.number().min(1).default(1.25).describe("A hot upstream leaves past this many caps."),
    leaveRuns: z.int().min(1).default(2).describe("…in so many cycles in a row."),
    minDwellMs: z.int().min(0).default(600_000).describe("…after so long in its tier."),
    pins: z.record(z.string(), tier).default({}).describe("Tiers fixed by upstream name."),
    refreshIntervalSeconds: z
      .number()
      .min(1)
      .max(86_400)
      .default(300)
      .describe("Seconds between two listings, and two health checks, of a hot upstream."),
    multipliers: z
      .strictObject({
        hot: z.number().positive().default(1),
        warm: z.number().positive().default(2),
        cold: z.number().positive().default(3),
        dormant: z.number().positive().default(6),
      })
      .prefault({})
      .describe("Interval of each tier, in refresh intervals."),
    jitter: z.number().min(0).max(0.5).default(0.1).describe("Share by which intervals vary both ways."),
    spread: z.boolean().default(true).describe("Whether each upstream has a phase of its own."),
    unreachableRetrySeconds: z
      .number()
      .min(0.1)
      .max(3_600)
      .default(15)
      .describe("First pause after a poll that failed; doubles with each."),
    unreachableRetryMaxSeconds: z
      .number()
      .min(0.1)
      .max(86_400)
      .default(300)
      .describe("Longest pause after polls that failed."),
    offlineAfterFailures: z
      .int()
      .min(1)
      .default(3)
      .describe("Health checks that fail in a row until an upstream is said to be unreachable."),
    maxPollsPerSecond: z.number().positive().default(20).describe("Polls this process starts per second."),
    claimMs: z.int().min(100).default(60_000).describe("A replica that dies while polling is replaced then."),
    debounceMs: z.int().min(0).default(1_000).describe("Notices of change within this time make one poll."),
    maxChangeStreams: z
      .int()
      .min(0)
      .max(10_000)
      .default(500)
      .describe("Upstreams that the leading replica listens to for changes of their lists."),
    maxTtlMs: z.int().min(1).default(86_400_000).describe("Longest `ttlMs` of an upstream that is honoured."),
    inUseMs: z.int().min(0).default(300_000).describe("Used within this time: health checks are not slowed."),
    cycleMs: z.int().min(50).default(60_000).describe("Time between two classifications."),
    leaseMs: z.int().min(100).default(15_000).describe("A leader that is silent for so long is replaced."),
    heartbeatMs: z.int().min(50).default(5_000).describe("Time between two renewals of the lease."),
    errorBackoffMs: z.int().min(50).default(30_000).describe("Pause after a cycle that failed."),
  })
  .refine(({ heartbeatMs, leaseMs }) => heartbeatMs < leaseMs, {
    path: ["heartbeatMs"],
    message: "must be less than `leaseMs`",
  })
  .prefault({});
