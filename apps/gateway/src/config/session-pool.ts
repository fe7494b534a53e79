import { z } from "zod";

/** Which replica holds a client's session, and how the others reach it. */
const owners = z
  .strictObject({
    heartbeatMs: z.int().min(50).default(10_000).describe("Time between two signs of life of an owner."),
    deadAfterMs: z
      .int()
      .min(100)
      .default(30_000)
      .describe(
        "An owner that is silent for so long is dead, and its sessions are taken over; the same on all replicas.",
      ),
    connectTimeoutMs: z.int().min(10).default(1_000).describe("Longest connect to an owner."),
    silenceMs: z
      .int()
      .min(2_000)
      .default(5_000)
      .describe("An owner that gives no sign of life for so long during a call is given up."),
  })
  .refine(({ heartbeatMs, deadAfterMs }) => heartbeatMs < deadAfterMs, {
    path: ["heartbeatMs"],
    message: "must be less than `deadAfterMs`",
  })
  .prefault({});

/** Upstream sessions. */
export const sessionsConfig = z
  .strictObject({
    acquireTimeoutMs: z.int().min(1).default(30_000).describe("Longest wait for a session."),
    maxConcurrencyPerSession: z.int().min(1).default(16).describe("Calls in flight on one session."),
    maxPerServer: z.int().min(1).default(1_000).describe("Sessions with one upstream."),
    maxTotal: z.int().min(1).default(10_000).describe("Sessions with all upstreams."),
    maxWaiters: z.int().min(0).default(10_000).describe("Callers waiting for a session."),
    breakerFailures: z
      .int()
      .min(1)
      .default(5)
      .describe("Failed connects in a row that close an upstream off."),
    breakerResetMs: z
      .int()
      .min(10)
      .default(60_000)
      .describe("How long it is left alone then, before one try."),
    maxAgeMs: z.int().min(1_000).default(300_000).describe("Age at which a shared session is replaced."),
    idleCheckMs: z.int().min(1_000).default(60_000).describe("Idle time after which a session is probed."),
    idleEvictMs: z.int().min(1_000).default(600_000).describe("Idle time after which one is closed."),
    owners,
  })
  .prefault({});
