import { z } from "zod";

/** Shared state of several replicas; without a URL everything stays in this process. */
export const redisConfig = z
  .strictObject({
    url: z
      .string()
      .regex(/^rediss?:\/\//, "has to begin with redis:// or rediss://")
      .optional()
      .describe("redis:// or rediss:// URL."),
    prefix: z.string().min(1).max(32).default("gw").describe("First part of every key."),
    connectTimeoutMs: z.int().min(50).max(60_000).default(2_000).describe("Longest attempt to connect."),
    commandTimeoutMs: z
      .int()
      .min(10)
      .max(60_000)
      .default(1_000)
      .describe("Longest wait for a reply; the limiter's own deadline is shorter."),
  })
  .prefault({});
