import { z } from "zod";
import type { PluginEntry } from "./plugin-framework.ts";

/** The gateway's own side of repeating calls; the policy itself is the `retry` plugin's config. */
export const retryConfig = z
  .strictObject({
    maxToolRetries: z
      .int()
      .min(0)
      .max(10)
      .default(3)
      .describe("Ceiling on repeats of one call, whatever a policy asks for."),
  })
  .prefault({});

/** The entry that stands for `retry` when `plugins[]` does not name it: the package's default policy. */
export const defaultRetryEntry: PluginEntry = { name: "retry", mode: "enforce", priority: 900, config: {} };
