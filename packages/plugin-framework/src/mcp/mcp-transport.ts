import { Client } from "@modelcontextprotocol/client";
import type { PluginTransport, RemoteHookCall } from "../plugin-transport.ts";
import { isConnectionLost } from "./is-connection-lost.ts";
import { type McpEndpoint, transportTo } from "./mcp-endpoint.ts";

/** Options of {@link McpTransport}. */
export interface McpTransportOptions {
  readonly endpoint: McpEndpoint;
  /** Tool that takes `{plugin, hook, payload, context}`. Default `invoke_hook`. */
  readonly tool?: string;
  /** How long a connection may take. Default 10 000. */
  readonly connectTimeoutMs?: number;
  /** First pause after a failed connection; doubles. Default 100. */
  readonly reconnectMinMs?: number;
  /** Longest pause between connections. Default 5 000. */
  readonly reconnectMaxMs?: number;
}

function textOf(content: unknown): string {
  const first = Array.isArray(content) ? (content[0] as { text?: unknown } | undefined) : undefined;
  return typeof first?.text === "string" ? first.text : "the plugin answered with an error";
}

/** The tool ran and said no. */
class ToolFailure extends Error {}

/** A connection, or the attempt at one. */
type Connection = Promise<Client>;

/**
 * Calls hooks as a tool of an MCP server. A lost connection is made again by the next call, and that call is sent
 * once more on it; after a failed connection further calls fail at once until the pause is over.
 */
export class McpTransport implements PluginTransport {
  readonly #options: McpTransportOptions;
  #connection: Connection | undefined;
  #pauseMs = 0;
  #notBefore = 0;
  #lastFailure: unknown;
  readonly #lifetime = new AbortController();

  constructor(options: McpTransportOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    await this.#connected();
  }

  async invoke(call: RemoteHookCall, { signal }: { readonly signal: AbortSignal }): Promise<unknown> {
    const reused = this.#connection !== undefined;
    const connection = this.#connected();
    const client = await connection;
    try {
      return await this.#callTool(client, call, signal);
    } catch (error) {
      if (error instanceof ToolFailure || signal.aborted || !isConnectionLost(error)) throw error;
      this.#forget(connection);
      await client.close().catch(() => undefined);
      if (!reused || this.#lifetime.signal.aborted) throw error;
      return this.#callTool(await this.#connected(), call, signal);
    }
  }

  async #callTool(client: Client, call: RemoteHookCall, signal: AbortSignal): Promise<unknown> {
    const name = this.#options.tool ?? "invoke_hook";
    const result = await client.callTool({ name, arguments: { ...call } }, { signal });
    if (result.isError) throw new ToolFailure(textOf(result.content));
    return result.structuredContent;
  }

  #connected(): Connection {
    if (this.#lifetime.signal.aborted) return Promise.reject(new Error("the plugin's connection is closed"));
    if (this.#connection !== undefined) return this.#connection;
    if (performance.now() < this.#notBefore) return Promise.reject(this.#lastFailure);
    const connection = this.#connect();
    this.#connection = connection;
    connection.then(
      (client) => {
        this.#pauseMs = 0;
        client.onclose = () => this.#forget(connection);
      },
      (error: unknown) => {
        this.#forget(connection);
        const { reconnectMinMs = 100, reconnectMaxMs = 5_000 } = this.#options;
        this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, reconnectMinMs), reconnectMaxMs);
        this.#notBefore = performance.now() + this.#pauseMs;
        this.#lastFailure = error;
      },
    );
    return connection;
  }

  async #connect(): Promise<Client> {
    const { endpoint, connectTimeoutMs = 10_000 } = this.#options;
    const client = new Client(
      { name: "gatewright-plugin-framework", version: "1.0.0" },
      { versionNegotiation: { mode: "auto" } },
    );
    const transport = transportTo(endpoint);
    const { promise: givenUp, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new DOMException(`no connection within ${connectTimeoutMs} ms`, "TimeoutError")),
      connectTimeoutMs,
    );
    const onClose = () => reject(this.#lifetime.signal.reason);
    this.#lifetime.signal.addEventListener("abort", onClose, { once: true });
    try {
      await Promise.race([client.connect(transport), givenUp]);
      return client;
    } catch (error) {
      // What was begun is ended: a child of a connection that nobody waits for would stay.
      await transport.close().catch(() => undefined);
      throw error;
    } finally {
      clearTimeout(timer);
      this.#lifetime.signal.removeEventListener("abort", onClose);
    }
  }

  /** The next call makes another connection, unless one has been made since. */
  #forget(connection: Connection): void {
    if (this.#connection === connection) this.#connection = undefined;
  }

  async close(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#lifetime.abort(new Error("the plugin's connection is closed"));
    const client = await connection?.catch(() => undefined);
    await client?.close().catch(() => undefined);
  }
}
