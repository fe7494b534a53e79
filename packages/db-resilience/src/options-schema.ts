import type { ConnectionOptions as TlsOptions } from "node:tls";
import { z } from "zod";
import { longestMs } from "./duration.ts";

const ms = (fallback: number, min = 0) => z.number().min(min).max(longestMs).default(fallback);

/** One server: text or object. */
export const addressSchema = z.union([
  z.string().min(1),
  z.strictObject({ host: z.string().min(1), port: z.int().min(1).max(65_535).optional() }),
]);

/** The options with their defaults; documented in `options.ts`. */
export const optionsSchema = z.strictObject({
  hosts: z.array(addressSchema).min(1).max(16),
  database: z.string().min(1),
  user: z.string().min(1),
  password: z
    .union([z.string(), z.custom<() => string | Promise<string>>((value) => typeof value === "function")])
    .optional(),
  ssl: z
    .union([z.boolean(), z.custom<TlsOptions>((value) => typeof value === "object" && value !== null)])
    .default(false),
  applicationName: z.string().max(55).default("gatewright"),
  targetSessionAttrs: z
    .enum(["any", "read-write", "read-only", "primary", "standby", "prefer-standby"])
    .optional(),
  pooler: z.enum(["none", "transaction"]).default("none"),
  int8AsNumber: z.boolean().default(false),
  retryReads: z.boolean().default(true),
  pool: z
    .strictObject({
      size: z.int().min(1).max(1_000).default(5),
      overflow: z.int().min(0).max(1_000).default(10),
      min: z.int().min(0).default(1),
      maxWaiting: z.int().min(0).default(200),
      acquireTimeoutMs: ms(3_000, 1),
      connectTimeoutMs: ms(2_000, 1),
      validationTimeoutMs: ms(1_000, 1),
      validateIdleAfterMs: ms(500),
      idleTimeoutMs: ms(60_000, 1),
      overflowIdleMs: ms(1_000),
      maxLifetimeMs: ms(1_800_000, 1),
      lifetimeJitterRatio: z.number().min(0).max(1).default(0.1),
      keepAliveMs: ms(30_000, 1),
      leakDetectionMs: ms(0),
    })
    .prefault({}),
  timeouts: z
    .strictObject({
      statementMs: ms(5_000),
      statementGraceMs: ms(250),
      lockMs: ms(0),
      idleInTransactionMs: ms(30_000),
      transactionMs: ms(30_000),
    })
    .prefault({}),
  monitor: z
    .strictObject({ intervalMs: ms(1_000, 10), minRetryMs: ms(400, 1), maxRetryMs: ms(1_000, 1) })
    .prefault({}),
  transactions: z
    .strictObject({
      retries: z.int().min(0).max(10).default(3),
      baseDelayMs: ms(10),
      maxDelayMs: ms(500),
      budgetRatio: z.number().min(0).max(10).default(0.5),
      settleMs: ms(15_000),
    })
    .prefault({}),
  fencing: z
    .strictObject({
      enabled: z.boolean().optional(),
      discoveryMs: ms(5_000),
      onUnknown: z.enum(["refuse", "allow"]).optional(),
      leaseMs: z.number().min(0).max(1_000).default(1_000),
    })
    .prefault({}),
  replicas: z
    .strictObject({ maxLagMs: ms(5_000), waitForWriteMs: ms(50), answerMs: ms(250, 1) })
    .prefault({}),
});
