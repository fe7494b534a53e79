import { z } from "zod";

/** Upstream sessions. */
export const sessionsConfig = z
  .strictObject({
    acquireTimeoutMs: z.int().min(1).default(30_000).describe("Longest wait for a session."),
    maxConcurrencyPerSession: z.int().min(1).default(16).describe("Calls in flight on one session."),
    maxPerServer: z.int().min(1).default(1_000).describe("Sessions with one upstream."),
    maxTotal: z.int().min(1).default(10_000).describe("Sessions with all upstreams."),
    maxWaiters: z.int().min(0).default(10_000).describe("Callers waiting for a session."),
    maxAgeMs: z.int().min(1_000).default(300_000).describe("Age at which a shared session is replaced."),
    idleCheckMs: z.int().min(1_000).default(60_000).describe("Idle time after which a session is probed."),
    idleEvictMs: z.int().min(1_000).default(600_000).describe("Idle time after which one is closed."),
  })
  .prefault({});
