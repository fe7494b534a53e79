import { z } from "zod";

const number = (least: number, most: number) => z.number().min(least).max(most);
const count = (least: number, most: number) => z.int().min(least).max(most);
/** At most a day. */
const ms = (least: number) => number(least, 86_400_000);
const off = z.literal(false);
const range = z.string().regex(/^[1-5](xx|\d\d-[1-5]\d\d)$/, "no status or range");

/** Options of a memory budget with their defaults. */
export const budgetSchema = z.strictObject({
  ratio: number(0, 1).default(0.2),
  floorPerSecond: number(0, 1e9).default(10),
  burst: number(0, 1e9).default(100),
  maxKeys: count(1, 1e9).default(10_000),
});

/** How a slow call is hedged. */
export const hedgeSchema = z.strictObject({ delayMs: ms(1), maxHedges: count(1, 5).default(1) });

const fields = {
  maxRetries: count(0, 100),
  baseMs: ms(1),
  maxMs: ms(1),
  jitter: z.enum(["none", "full", "equal", "decorrelated"]),
  retryOnStatus: z.array(z.union([count(100, 599), range])),
  checkTextContent: z.boolean(),
  respectRetryAfter: z.boolean(),
  maxRetryAfterMs: ms(0),
  totalDeadlineMs: ms(1),
  attemptTimeoutMs: ms(1),
  minAttemptMs: ms(0),
  repeatUnsafe: z.boolean(),
  retryEveryError: z.boolean(),
  hedge: hedgeSchema.or(off),
};

/** Settings that an override may change. */
export const overrideSchema = z.strictObject(fields).partial();

/** The whole policy as it is written in a configuration. */
export const policySchema = z
  .strictObject({
    ...fields,
    preset: z.enum(["default", "contextforge"]),
    overrides: z.record(z.string().min(1).max(256), overrideSchema),
    budget: budgetSchema.or(off),
  })
  .partial();
