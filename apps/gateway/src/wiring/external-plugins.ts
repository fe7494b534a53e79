import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { PluginDefinition } from "@gatewright/plugin-framework";
import { ConfigError } from "../config/config-error.ts";
import type { McpPlugin } from "../config/external-plugin.ts";
import type { PluginEntry } from "../config/plugin-framework.ts";

/** The plugins that do not come with the gateway: MCP servers, and ES modules whose default export is a plugin. */
export interface ExternalPlugins {
  /**
   * Their definitions, by name; what has not changed since it was loaded last is the same. What they need is loaded only
   * where there are any.
   *
   * @throws {ConfigError} when a module cannot be loaded or exports no plugin
   */
  load(entries: readonly PluginEntry[]): Promise<Readonly<Record<string, PluginDefinition>>>;
}

/** Makes a loader, which remembers what it has loaded. */
export function createExternalPlugins(): ExternalPlugins {
  const known = new Map<string, { readonly text: string; readonly definition: PluginDefinition }>();
  let changes = 0;
  return {
    async load(entries) {
      const found: Record<string, PluginDefinition> = {};
      for (const [index, { name, module, mcp }] of entries.entries()) {
        if (mcp === undefined && module === undefined) continue;
        const text = JSON.stringify([module, mcp]);
        const before = known.get(name);
        if (before?.text !== text) {
          const made =
            mcp === undefined
              ? await moduleDefinition(module ?? "", `plugins.${index}.module`)
              : await mcpDefinition(name, mcp);
          // A pipeline keeps an instance whose version and config are the same, wherever its server is.
          const version = before === undefined ? made.version : `${made.version ?? "0"}+${++changes}`;
          const definition = { ...made, ...(version !== undefined && { version }) };
          known.set(name, { text, definition });
        }
        found[name] = known.get(name)?.definition as PluginDefinition;
      }
      return found;
    },
  };
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
