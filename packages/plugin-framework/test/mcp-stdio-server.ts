/** {@link buildPluginServer} on standard input and output. */
import { StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import { buildPluginServer } from "./mcp-server.ts";

await buildPluginServer().connect(new StdioServerTransport());
