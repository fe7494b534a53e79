export { createMcpPlugin, type McpPluginOptions } from "./create-mcp-plugin.ts";
export type { McpEndpoint, McpTransportOptions } from "./mcp-transport.ts";
