import { z } from "zod";

/** Shared state of several replicas; without a URL everything stays in this process. */
export const redisConfig = z
  .strictObject({
    url: z.string().min(1).optional().describe("redis:// or rediss:// URL."),
    prefix: z.string().min(1).max(32).default("gw").describe("First part of every key."),
  })
  .prefault({});
