import { z } from "zod";

/** One entry of `plugins[]`. */
export const pluginEntry = z.strictObject({
  name: z.string().min(1).describe("Name of a plugin: `rate_limiter` or `retry`."),
  mode: z.enum(["enforce", "permissive", "disabled", "enforce_ignore_error"]).default("enforce"),
  priority: z.int().optional().describe("Lower runs earlier."),
  onError: z.enum(["fail", "ignore", "disable"]).optional(),
  timeoutMs: z.int().min(1).optional(),
  conditions: z.array(z.record(z.string(), z.array(z.string()))).optional(),
  config: z.record(z.string(), z.unknown()).default({}),
});

/** One parsed entry of `plugins[]`. */
export type PluginEntry = z.infer<typeof pluginEntry>;

/** The plugins of every call. */
export const pluginsConfig = z
  .array(pluginEntry)
  .default([])
  .describe("Plugins of every call; `rate_limiter` and `retry` are there without being named.");
