export { createMcpPlugin, type McpPluginOptions } from "./create-mcp-plugin.ts";
export type { McpEndpoint } from "./mcp-endpoint.ts";
export type { McpTransportOptions } from "./mcp-transport.ts";
