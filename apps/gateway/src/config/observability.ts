import { z } from "zod";

/** Logs and metrics. */
export const observabilityConfig = z
  .strictObject({
    logLevel: z
      .enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"])
      .default("info")
      .describe("Least severe line that is written."),
    processMetrics: z.boolean().default(true).describe("Whether /metrics has the process's own figures."),
  })
  .prefault({});
