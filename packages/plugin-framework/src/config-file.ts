import { readFile } from "node:fs/promises";
import { z } from "zod";
import { type Environment, substituteEnv } from "./env-substitution.ts";
import { PluginConfigError } from "./errors.ts";
import { nearest } from "./nearest.ts";
import { parseStrictly } from "./parse-strictly.ts";
import { bindingSchema, limitsSchema, type PipelineConfig, pluginSettingsSchema } from "./pipeline-config.ts";
import type { PluginDefinition } from "./plugin-definition.ts";
import { syntaxFault } from "./syntax-fault.ts";

/** The configuration as a file has it: plugins by the name of their definition. */
export const configFileSchema = z.strictObject({
  plugins: z
    .array(z.strictObject({ plugin: z.string().min(1), ...pluginSettingsSchema.shape }))
    .max(1000)
    .default([]),
  bindings: z.array(bindingSchema).max(10_000).default([]),
  limits: limitsSchema.prefault({}),
});

/** Options of {@link readConfigFile} and {@link parseConfigText}. */
export interface ConfigFileOptions {
  /** What the file may name. */
  readonly definitions: readonly PluginDefinition[];
  /** Default: `process.env`. */
  readonly env?: Environment;
  /** Turns the text into a document. Default `JSON.parse`; for YAML hand in the `parse` of your YAML library. */
  readonly parse?: (text: string) => unknown;
}

/**
 * Parses a configuration text, substitutes `${ENV}` and looks up the definitions.
 *
 * @throws PluginConfigError naming the path of everything wrong.
 */
export function parseConfigText(text: string, options: ConfigFileOptions): PipelineConfig {
  const { definitions, env = process.env, parse = JSON.parse } = options;
  const document = substituteEnv(parseDocument(text, parse), env);
  const { plugins, bindings, limits } = parseStrictly(configFileSchema, document);
  const names = definitions.map(({ name }) => name);
  const entries = plugins.map(({ plugin, ...settings }, index) => {
    const use = definitions.find(({ name }) => name === plugin);
    if (use !== undefined) return { use, ...settings };
    const suggestion = nearest(plugin, names);
    const message = `no plugin "${plugin}"; known: ${names.join(", ")}`;
    throw new PluginConfigError([
      { path: `plugins[${index}].plugin`, message, ...(suggestion === undefined ? {} : { suggestion }) },
    ]);
  });
  return { plugins: entries, bindings, limits };
}

function parseDocument(text: string, parse: (text: string) => unknown): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw new PluginConfigError([{ path: "", message: `not readable: ${syntaxFault(error)}` }]);
  }
}

/** {@link parseConfigText} of a file. */
export async function readConfigFile(path: string, options: ConfigFileOptions): Promise<PipelineConfig> {
  return parseConfigText(await readFile(path, "utf8"), options);
}

/** A JSON Schema, as a plain document. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** The JSON Schema of a zod schema; what zod cannot express is left open. */
export function schemaDocument(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { unrepresentable: "any", io: "input" }) as JsonSchema;
}

/**
 * JSON Schema (2020-12) of a configuration file; with definitions, `plugins[].plugin` lists their names and
 * `plugins[].config` has each one's own schema.
 */
export function configJsonSchema(definitions: readonly PluginDefinition[] = []): JsonSchema {
  const document = structuredClone(schemaDocument(configFileSchema)) as {
    properties: { plugins: { items: { properties: Record<string, unknown>; oneOf?: unknown[] } } };
  };
  const { items } = document.properties.plugins;
  if (definitions.length === 0) return document;
  items.properties["plugin"] = { enum: definitions.map(({ name }) => name) };
  items.oneOf = definitions.map(({ name, configSchema }) => ({
    properties: {
      plugin: { const: name },
      config: configSchema === undefined ? { maxProperties: 0 } : schemaDocument(configSchema),
    },
  }));
  return document;
}
