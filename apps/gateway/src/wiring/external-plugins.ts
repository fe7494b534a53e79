import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { PluginDefinition } from "@gatewright/plugin-framework";
import { ConfigError } from "../config/config-error.ts";
import type { McpPlugin } from "../config/external-plugin.ts";
import type { PluginEntry } from "../config/plugin-framework.ts";

/**
 * The definitions of the plugins that do not come with the gateway, by name: MCP servers, and ES modules whose default
 * export is a plugin. What they need is loaded only where there are any.
 *
 * @throws {ConfigError} when a module cannot be loaded or exports no plugin
 */
export async function loadExternalPlugins(
  entries: readonly PluginEntry[],
): Promise<Readonly<Record<string, PluginDefinition>>> {
  const found: Record<string, PluginDefinition> = {};
  for (const [index, { name, module, mcp }] of entries.entries()) {
    if (mcp !== undefined) found[name] = await mcpDefinition(name, mcp);
    else if (module !== undefined) found[name] = await moduleDefinition(module, `plugins.${index}.module`);
  }
  return found;
}

async function mcpDefinition(name: string, mcp: McpPlugin): Promise<PluginDefinition> {
  const { createMcpPlugin } = await import("@gatewright/plugin-framework/mcp");
  const { url, headers, command = "", args, env, cwd, tool, hooks } = mcp;
  const declared = Object.entries(hooks).map(([hook, { phase, reads }]) => [
    hook,
    { ...(phase && { phase }), ...(reads && { reads }) },
  ]);
  return createMcpPlugin({
    name,
    hooks: Object.fromEntries(declared) as PluginDefinition["hooks"],
    endpoint:
      url === undefined
        ? { kind: "stdio", command, ...(args && { args }), ...(env && { env }), ...(cwd && { cwd }) }
        : { kind: "http", url, ...(headers && { headers }) },
    ...(tool && { tool }),
  });
}

async function moduleDefinition(module: string, path: string): Promise<PluginDefinition> {
  const isPath = module.startsWith(".") || module.startsWith("/");
  const specifier = isPath ? pathToFileURL(resolve(module)).href : module;
  let exported: unknown;
  try {
    exported = ((await import(specifier)) as { readonly default?: unknown }).default;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError([{ path, message: `cannot be loaded: ${reason}` }]);
  }
  if (!isDefinition(exported)) {
    throw new ConfigError([{ path, message: "has no plugin as its default export (see definePlugin)" }]);
  }
  return exported;
}

function isDefinition(value: unknown): value is PluginDefinition {
  const { name, hooks, create } = (value ?? {}) as Readonly<Record<string, unknown>>;
  return typeof name === "string" && typeof hooks === "object" && typeof create === "function";
}
