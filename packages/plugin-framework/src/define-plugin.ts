import type { PluginDefinition } from "./plugin-definition.ts";

/**
 * Types a plugin's manifest; what it returns is what it was given.
 *
 * @example
 * const shout = definePlugin({ name: "shout", version: "1.0.0", description: "…", hooks: { tool_pre_invoke: {} },
 *   create: () => ({ hooks: { tool_pre_invoke: (p) => ({ modify: { ...p, name: p.name.toUpperCase() } }) } }) });
 */
export function definePlugin<C = unknown>(definition: PluginDefinition<C>): PluginDefinition<C> {
  return definition;
}
