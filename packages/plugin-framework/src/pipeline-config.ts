import { z } from "zod";
import { conditionSchema, globSchema } from "./conditions.ts";
import { type ConfiguredMode, MODES, type Mode } from "./mode.ts";
import type { OnError } from "./phase.ts";
import type { PluginDefinition } from "./plugin-definition.ts";
import { wellFormed } from "./well-formed.ts";

/** `enforce`, `permissive`, `disabled`, or the alias `enforce_ignore_error`. */
export const configuredModeSchema = z.enum([...MODES, "enforce_ignore_error"] as const);

const name = wellFormed.min(1).max(128);

/** The switches of one plugin that files and code have in common. */
export const pluginSettingsSchema = z.strictObject({
  /** Default: the definition's name. Unique. */
  name: name.optional(),
  /** Default: the definition's, else `enforce`. */
  mode: configuredModeSchema.optional(),
  /** Ascending inside a phase; ties run in the order of registration. Default 100. */
  priority: z.int().min(-1_000_000).max(1_000_000).optional(),
  /** Default `fail`. */
  onError: z.enum(["fail", "ignore", "disable"]).optional(),
  /** Default 30 000. */
  timeoutMs: z.number().positive().max(86_400_000).optional(),
  /** Entries are alternatives; the fields of one entry must all match. Default: always. */
  conditions: z.array(conditionSchema).max(1000).optional(),
  /** The plugin's own config, checked by its `configSchema`. */
  config: z.record(z.string(), z.unknown()).optional(),
});

/** Mode and config of one plugin for some tenants, servers and tools. */
export const bindingSchema = z.strictObject({
  plugin: name,
  /** A tenant, or a glob; default `*`, which also takes calls without a tenant. */
  tenant: globSchema.default("*"),
  server: globSchema.default("*"),
  tool: globSchema.default("*"),
  mode: configuredModeSchema.optional(),
  /** Merged over the file's config, key by key. */
  config: z.record(z.string(), z.unknown()).optional(),
});

/** Bounds of a pipeline. */
export const limitsSchema = z.strictObject({
  /** Characters of a payload that a handler with `reads: "body"` may be given. Default 1 000 000. */
  payloadCharacters: z.int().positive().default(1_000_000),
  /** `fire_and_forget` handlers under way at once; more are skipped and recorded. Default 1 000. */
  backgroundHandlers: z.int().nonnegative().default(1_000),
  /** Timeout of plugins that name none. Default 30 000. */
  timeoutMs: z.number().positive().max(86_400_000).default(30_000),
  /** How long `close` and the end of an old snapshot wait for calls in flight. Default 30 000. */
  drainMs: z.number().nonnegative().max(3_600_000).default(30_000),
  /** Tenants with an override of their own, per plugin. Default 1 000. */
  tenantOverrides: z.int().nonnegative().max(100_000).default(1_000),
});

const definitionSchema = z.custom<PluginDefinition>(
  (value) => typeof value === "object" && value !== null && "create" in value && "hooks" in value,
  "must be a plugin definition, as definePlugin returns it",
);

/** The whole configuration in code, with definitions in place. */
export const pipelineConfigSchema = z.strictObject({
  plugins: z
    .array(z.strictObject({ use: definitionSchema, ...pluginSettingsSchema.shape }))
    .max(1000)
    .default([]),
  bindings: z.array(bindingSchema).max(10_000).default([]),
  limits: limitsSchema.prefault({}),
});

/** What `createPluginPipeline` and `reload` take. */
export type PipelineConfig = z.input<typeof pipelineConfigSchema>;
/** One plugin of a {@link PipelineConfig}. */
export type PluginEntry = NonNullable<PipelineConfig["plugins"]>[number];
/** One binding of a {@link PipelineConfig}. */
export type Binding = z.input<typeof bindingSchema>;
/** Bounds of a {@link PipelineConfig}. */
export type PipelineLimits = z.output<typeof limitsSchema>;
/** A configuration with its defaults filled in. */
export type ParsedConfig = z.output<typeof pipelineConfigSchema>;

/** Resolves the alias: `enforce_ignore_error` is `enforce` with `onError: "ignore"`. */
export function resolveAlias(
  mode: ConfiguredMode,
  onError: OnError | undefined,
): { readonly mode: Mode; readonly onError: OnError | undefined } {
  return mode === "enforce_ignore_error" ? { mode: "enforce", onError: "ignore" } : { mode, onError };
}
