import { defineExternalPlugin, type ExternalManifest } from "../external-plugin.ts";
import type { PluginDefinition } from "../plugin-definition.ts";
import { McpTransport, type McpTransportOptions } from "./mcp-transport.ts";

/** Options of {@link createMcpPlugin}. */
export interface McpPluginOptions extends ExternalManifest, McpTransportOptions {}

/**
 * A plugin that is an MCP server, over streamable HTTP or stdio. At each hook its tool `invoke_hook` is called with
 * `{plugin, hook, payload, context}`; the structured content of the answer is the outcome. The plugin's timeout,
 * `onError`, mode, priority and conditions are set like any other's.
 *
 * @example
 * createMcpPlugin({ name: "dlp", hooks: { tool_pre_invoke: {} }, endpoint: { kind: "http", url: "http://127.0.0.1:9000/mcp" } });
 */
export function createMcpPlugin(options: McpPluginOptions): PluginDefinition {
  return defineExternalPlugin(options, () => new McpTransport(options));
}
