import { z } from "zod";
import { mcpPlugin } from "./external-plugin.ts";
import { wellFormed } from "./well-formed.ts";

/** One entry of `plugins[]`. */
export const pluginEntry = z.strictObject({
  name: wellFormed
    .min(1)
    .describe("Name of the plugin: `rate_limiter`, `retry`, or your own with `mcp` or `module`."),
  mcp: mcpPlugin.optional().describe("The plugin is an MCP server."),
  module: z
    .string()
    .min(1)
    .optional()
    .describe("The plugin is the default export of this ES module: a path from here, or a package."),
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
