import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { mcpServerEntry } from "../config/mcp-servers.ts";

/** Name of the upstream that the demo registers. */
export const demoServer = "everything";
/** User of the demo's token. */
export const demoUser = "demo";

/** The configuration with the public example server registered, over stdio, unless that name is taken. */
export function withDemoServer(config: GatewayConfig): GatewayConfig {
  if (Object.keys(config.mcpServers).some((name) => name.toLowerCase() === demoServer)) return config;
  const require = createRequire(import.meta.url);
  const manifest = require.resolve("@modelcontextprotocol/server-everything/package.json");
  const { bin } = require(manifest) as { readonly bin: Readonly<Record<string, string>> };
  const script = join(dirname(manifest), Object.values(bin)[0] ?? "");
  const entry = mcpServerEntry.parse({ command: process.execPath, args: [script, "stdio"], tags: ["demo"] });
  return { ...config, mcpServers: { ...config.mcpServers, [demoServer]: entry } };
}

/** What the demo prints once the gateway listens: a token, and a call to paste. */
export function demoLines(url: string, token: string | undefined): string[] {
  const authorization = token === undefined ? [] : [`  -H "Authorization: Bearer ${token}" \\`];
  return [
    ...(token === undefined ? [] : ["", `Demo token (24 h, scopes mcp and admin): ${token}`]),
    "",
    "Try it:",
    "",
    `curl -s ${url}/mcp/http \\`,
    ...authorization,
    '  -H "Content-Type: application/json" \\',
    `  -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${demoServer}_echo","arguments":{"message":"hello"}}}'`,
    "",
    `MCP clients connect to ${url}/mcp (streamable HTTP).`,
    `A browser shows the REST surface at ${url}/docs.`,
  ];
}
