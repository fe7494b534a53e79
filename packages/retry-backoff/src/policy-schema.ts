import { z } from "zod";

const ms = z.number().nonnegative().max(86_400_000);
const statusRange = /^[1-5]xx$|^[1-5]\d\d-[1-5]\d\d$/;
const status = z.union([z.int().min(100).max(599), z.string().regex(statusRange, "not a status or a range")]);
const positive = z.number().positive();

/** Options of a memory budget with their defaults. */
export const budgetSchema = z.strictObject({
  ratio: z.number().min(0).max(1).default(0.2),
  floorPerSecond: z.number().min(0).default(10),
  burst: z.number().min(0).default(100),
  maxKeys: z.int().positive().default(10_000),
});

const hedgeSchema = z.strictObject({ delayMs: positive, maxHedges: z.int().min(1).max(5).default(1) });

const fields = {
  maxRetries: z.int().min(0).max(100),
  baseMs: z.number().min(1).max(86_400_000),
  maxMs: z.number().min(1).max(86_400_000),
  jitter: z.enum(["none", "full", "equal", "decorrelated"]),
  retryOnStatus: z.array(status),
  checkTextContent: z.boolean(),
  respectRetryAfter: z.boolean(),
  maxRetryAfterMs: ms,
  totalDeadlineMs: positive,
  attemptTimeoutMs: positive,
  minAttemptMs: ms,
  repeatUnsafe: z.boolean(),
  retryEveryError: z.boolean(),
  hedge: z.union([z.literal(false), hedgeSchema]),
};

/** Settings that an override may change. */
export const overrideSchema = z.strictObject(fields).partial();

/** The whole policy as it is written in a configuration. */
export const policySchema = z
  .strictObject({
    ...fields,
    preset: z.enum(["default", "contextforge"]),
    overrides: z.record(z.string().min(1).max(256), overrideSchema),
    budget: z.union([z.literal(false), budgetSchema]),
  })
  .partial();
