import { StreamableHTTPClientTransport, type Transport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

/** Where the MCP server is. */
export type McpEndpoint =
  | { readonly kind: "http"; readonly url: string; readonly headers?: Readonly<Record<string, string>> }
  | {
      readonly kind: "stdio";
      readonly command: string;
      readonly args?: readonly string[];
      readonly env?: Readonly<Record<string, string>>;
      readonly cwd?: string;
    };

/** A transport of the official client; nothing is opened yet. */
export function transportTo(endpoint: McpEndpoint): Transport {
  if (endpoint.kind === "http") {
    const { url, headers = {} } = endpoint;
    return new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { ...headers } } });
  }
  const { command, args = [], env, cwd } = endpoint;
  return new StdioClientTransport({
    command,
    args: [...args],
    ...(env === undefined ? {} : { env: { ...env } }),
    ...(cwd === undefined ? {} : { cwd }),
  });
}
