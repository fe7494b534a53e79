import { z } from "zod";

/** The MCP side: names of the aggregated endpoint and timeouts of upstreams. */
export const bridgeConfig = z
  .strictObject({
    separator: z
      .string()
      .min(1)
      .max(4)
      .regex(/^[A-Za-z0-9_.-]+$/, "may contain letters, digits, `_`, `.` and `-`")
      .default("_")
      .describe("Between an upstream's slug and a tool's name on /mcp."),
    maxNameLength: z.int().min(56).max(128).default(64).describe("Longest aggregated name."),
    connectTimeoutMs: z.int().min(10).default(10_000).describe("Time to reach an upstream and shake hands."),
    requestTimeoutMs: z.int().min(10).default(60_000).describe("Time for one attempt of a call."),
    listTimeoutMs: z.int().min(10).default(10_000).describe("Time for one upstream's part of a list."),
    listFreshMs: z
      .int()
      .min(0)
      .default(1_000)
      .describe("How long a merged list is used again whose upstream names no longer time, in milliseconds."),
    listFailureHoldMs: z
      .int()
      .min(0)
      .default(5_000)
      .describe("How long no list waits for an upstream that failed; it is asked again meanwhile."),
    connectionsPerUpstream: z.int().min(1).max(1_024).default(64).describe("TCP connections to one origin."),
    parkedTtlMs: z
      .int()
      .min(10)
      .max(120_000)
      .default(120_000)
      .describe("Time that a call waits for what its client is asked, in milliseconds."),
    maxParked: z.int().min(1).default(1_000).describe("Calls of clients without sessions that wait so."),
    maxParkedPerPrincipal: z.int().min(1).default(20).describe("Such calls of one principal."),
    maxListeners: z
      .int()
      .min(1)
      .default(100_000)
      .describe("What is listened for at once: each client's lists, and each resource subscribed to."),
    stdioStopMs: z
      .int()
      .min(10)
      .max(900)
      .default(500)
      .describe("Time between the steps close stdin, SIGTERM, SIGKILL when a child is stopped."),
  })
  .prefault({});
