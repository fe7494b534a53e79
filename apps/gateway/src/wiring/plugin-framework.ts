import {
  createPluginPipeline,
  type PipelineConfig,
  type PipelineDeps,
  type PluginDefinition,
  type PluginPipeline,
} from "@gatewright/plugin-framework";
import { ConfigError } from "../config/config-error.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { nearestKey } from "../config/nearest-key.ts";
import type { PluginEntry } from "../config/plugin-framework.ts";
import { defaultRateLimiterEntry } from "../config/rate-limiter.ts";
import { defaultRetryEntry } from "../config/retry-backoff.ts";
import { createExternalPlugins } from "./external-plugins.ts";

/** Largest payload that a plugin may be given, in characters. */
const maxPayload = 4_194_304;

/** The plugins that come with the gateway, by name. */
export type BuiltInPlugins = Readonly<Record<string, PluginDefinition>>;

/** The pipeline of every call, and how it follows the configuration. */
export interface PipelineWiring {
  readonly pipeline: PluginPipeline;
  /**
   * Takes other plugins, or other settings of them; calls under way end with those that they began with.
   *
   * @throws {ConfigError} when a plugin does not exist or its config is wrong: the former ones stay
   */
  reload(config: GatewayConfig): Promise<void>;
}

/**
 * The pipeline of every call: the configured plugins, and the built-in ones that the configuration does not
 * name.
 *
 * @param fromOutside what to make of the definition of a plugin that does not come with the gateway
 * @throws {ConfigError} when a plugin does not exist or its config is wrong
 */
export async function wirePipeline(
  config: GatewayConfig,
  builtIn: BuiltInPlugins,
  deps: PipelineDeps,
  fromOutside: (definition: PluginDefinition) => PluginDefinition = (definition) => definition,
): Promise<PipelineWiring> {
  const external = createExternalPlugins();
  const configOf = async ({ plugins }: GatewayConfig) => {
    const loaded = Object.entries(await external.load(plugins));
    const others = Object.fromEntries(loaded.map(([name, definition]) => [name, fromOutside(definition)]));
    return pipelineConfig(withDefaults(plugins), { ...builtIn, ...others });
  };
  const first = await configOf(config);
  const pipeline = await explained(() => createPluginPipeline(first, deps));
  return {
    pipeline,
    async reload(next) {
      const wanted = await configOf(next);
      await explained(() => pipeline.reload(wanted));
    },
  };
}

function pipelineConfig(entries: readonly PluginEntry[], plugins: BuiltInPlugins): PipelineConfig {
  for (const [index, entry] of entries.entries()) {
    if (Object.hasOwn(plugins, entry.name)) continue;
    const near = nearestKey(entry.name, Object.keys(plugins));
    const hint =
      near === undefined ? `; known: ${Object.keys(plugins).join(", ")}` : `; did you mean "${near}"?`;
    throw new ConfigError([
      { path: `plugins.${index}.name`, message: `there is no plugin "${entry.name}"${hint}` },
    ]);
  }
  return {
    plugins: entries.map(({ name, mcp: _, module: __, ...settings }) => ({
      use: plugins[name] as PluginDefinition,
      name,
      ...settings,
    })),
    limits: { payloadCharacters: maxPayload },
  };
}

async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError([{ path: "plugins", message }]);
  }
}

function withDefaults(entries: readonly PluginEntry[]): PluginEntry[] {
  const named = new Set(entries.map((entry) => entry.name));
  const missing = [defaultRateLimiterEntry, defaultRetryEntry].filter((entry) => !named.has(entry.name));
  return [...entries, ...missing];
}
