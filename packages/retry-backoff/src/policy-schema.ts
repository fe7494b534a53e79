import { z } from "zod";

const DAY_MS = 86_400_000;
const number = (least: number, most = Number.POSITIVE_INFINITY) => z.number().min(least).max(most);
const count = (least: number, most = Number.MAX_SAFE_INTEGER) => z.int().min(least).max(most);
const positive = z.number().positive();
const orOff = <T extends z.ZodType>(schema: T) => z.union([z.literal(false), schema]);
const range = z.string().regex(/^[1-5](xx|\d\d-[1-5]\d\d)$/, "not a status or a range");

/** Options of a memory budget with their defaults. */
export const budgetSchema = z.strictObject({
  ratio: number(0, 1).default(0.2),
  floorPerSecond: number(0).default(10),
  burst: number(0).default(100),
  maxKeys: count(1).default(10_000),
});

/** How a slow call is hedged. */
export const hedgeSchema = z.strictObject({ delayMs: positive, maxHedges: count(1, 5).default(1) });

const fields = {
  maxRetries: count(0, 100),
  baseMs: number(1, DAY_MS),
  maxMs: number(1, DAY_MS),
  jitter: z.enum(["none", "full", "equal", "decorrelated"]),
  retryOnStatus: z.array(z.union([count(100, 599), range])),
  checkTextContent: z.boolean(),
  respectRetryAfter: z.boolean(),
  maxRetryAfterMs: number(0, DAY_MS),
  totalDeadlineMs: positive,
  attemptTimeoutMs: positive,
  minAttemptMs: number(0, DAY_MS),
  repeatUnsafe: z.boolean(),
  retryEveryError: z.boolean(),
  hedge: orOff(hedgeSchema),
};

/** Settings that an override may change. */
export const overrideSchema = z.strictObject(fields).partial();

/** The whole policy as it is written in a configuration. */
export const policySchema = overrideSchema.extend({
  preset: z.enum(["default", "contextforge"]).optional(),
  overrides: z.record(z.string().min(1).max(256), overrideSchema).optional(),
  budget: orOff(budgetSchema).optional(),
});
