import { z } from "zod";

/** How often upstreams are looked at again. */
export const classifierConfig = z
  .strictObject({
    refreshIntervalSeconds: z
      .int()
      .min(5)
      .max(86_400)
      .default(300)
      .describe("Seconds between two listings of an upstream that states no interval of its own."),
    unreachableRetrySeconds: z
      .int()
      .min(1)
      .max(3_600)
      .default(15)
      .describe("Seconds between two attempts to reach an upstream that is down."),
  })
  .prefault({});
