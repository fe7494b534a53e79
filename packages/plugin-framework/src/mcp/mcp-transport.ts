import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import type { PluginTransport, RemoteHookCall } from "../plugin-transport.ts";

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

/** Options of {@link McpTransport}. */
export interface McpTransportOptions {
  readonly endpoint: McpEndpoint;
  /** Tool that takes `{plugin, hook, payload, context}`. Default `invoke_hook`. */
  readonly tool?: string;
  /** First pause after a failed connection; doubles. Default 100. */
  readonly reconnectMinMs?: number;
  /** Longest pause between connections. Default 5 000. */
  readonly reconnectMaxMs?: number;
}

function transportTo(endpoint: McpEndpoint) {
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

function textOf(content: unknown): string {
  const first = Array.isArray(content) ? (content[0] as { text?: unknown } | undefined) : undefined;
  return typeof first?.text === "string" ? first.text : "the plugin answered with an error";
}

/** The tool ran and said no: the connection is fine. */
class ToolFailure extends Error {}

/**
 * Calls hooks as a tool of an MCP server. A lost connection is made again by the next call, and that call is sent
 * once more on it; after a failed connection further calls fail at once until the pause is over.
 */
export class McpTransport implements PluginTransport {
  readonly #options: McpTransportOptions;
  #client: Promise<Client> | undefined;
  #pauseMs = 0;
  #notBefore = 0;
  #lastFailure: unknown;
  #closed = false;

  constructor(options: McpTransportOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    await this.#connected();
  }

  async invoke(call: RemoteHookCall, { signal }: { readonly signal: AbortSignal }): Promise<unknown> {
    const reused = this.#client;
    const client = await this.#connected();
    try {
      return await this.#callTool(client, call, signal);
    } catch (error) {
      if (error instanceof ToolFailure || signal.aborted) throw error;
      await this.#drop(client);
      if (reused === undefined || this.#closed) throw error;
      return this.#callTool(await this.#connected(), call, signal);
    }
  }

  async #callTool(client: Client, call: RemoteHookCall, signal: AbortSignal): Promise<unknown> {
    const name = this.#options.tool ?? "invoke_hook";
    const result = await client.callTool({ name, arguments: { ...call } }, { signal });
    if (result.isError) throw new ToolFailure(textOf(result.content));
    return result.structuredContent;
  }

  #connected(): Promise<Client> {
    if (this.#closed) return Promise.reject(new Error("the plugin's connection is closed"));
    if (this.#client !== undefined) return this.#client;
    if (performance.now() < this.#notBefore) return Promise.reject(this.#lastFailure);
    const connecting = this.#connect();
    this.#client = connecting;
    connecting.catch((error: unknown) => {
      if (this.#client === connecting) this.#client = undefined;
      const { reconnectMinMs = 100, reconnectMaxMs = 5_000 } = this.#options;
      this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, reconnectMinMs), reconnectMaxMs);
      this.#notBefore = performance.now() + this.#pauseMs;
      this.#lastFailure = error;
    });
    return connecting;
  }

  async #connect(): Promise<Client> {
    const client = new Client(
      { name: "gatewright-plugin-framework", version: "1.0.0" },
      { versionNegotiation: { mode: "auto" } },
    );
    await client.connect(transportTo(this.#options.endpoint));
    const current = this.#client;
    client.onclose = () => {
      if (this.#client === current) this.#client = undefined;
    };
    this.#pauseMs = 0;
    return client;
  }

  async #drop(client: Client): Promise<void> {
    this.#client = undefined;
    await client.close().catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const client = await this.#client?.catch(() => undefined);
    if (client !== undefined) await this.#drop(client);
  }
}
