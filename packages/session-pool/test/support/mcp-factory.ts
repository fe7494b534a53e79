import {
  type CloseReason,
  type ConnectOptions,
  mcpProbes,
  type SessionFactory,
  type SessionFault,
  type SessionKey,
} from "@gatewright/session-pool";

/** A legacy MCP session over streamable HTTP. */
export interface McpSession {
  readonly url: string;
  readonly id: string;
  readonly token: string;
}

/** What the tests hand to `connect`. */
export interface McpContext {
  /** Take this upstream session up instead of opening one. */
  readonly resume?: string;
}

/** A failed exchange. */
export class McpError extends Error {
  readonly status: number | undefined;
  readonly rpcCode: number | undefined;
  constructor(message: string, facts: { status?: number; rpcCode?: number; cause?: unknown } = {}) {
    super(message, { cause: facts.cause });
    this.status = facts.status;
    this.rpcCode = facts.rpcCode;
  }
}

/** The pool's factory over fetch: initialize, ping or tools/list as probes, DELETE on close. */
export class McpFactory implements SessionFactory<McpSession, McpContext> {
  /** Upstream credential per server; a refresh moves on to the next. */
  tokens = ["t1"];
  readonly #url: (key: SessionKey) => string;
  readonly closed: CloseReason[] = [];
  beforeConnect: () => Promise<void> = async () => {};

  constructor(url: (key: SessionKey) => string) {
    this.#url = url;
  }

  readonly probes = mcpProbes<McpSession>({
    eraOf: () => "legacy",
    ask: async (session, method, { signal }) => {
      try {
        await rpc(session, method, {}, signal);
        return { kind: "result" };
      } catch (error) {
        if (error instanceof McpError && error.rpcCode !== undefined)
          return { kind: "error", rpcCode: error.rpcCode };
        throw error;
      }
    },
  });

  async connect(key: SessionKey, options: ConnectOptions<McpContext>): Promise<McpSession> {
    await this.beforeConnect();
    if (options.refreshCredentials) this.tokens.shift();
    const url = this.#url(key);
    const token = this.tokens[0] ?? "none";
    if (options.context?.resume !== undefined) return { url, id: options.context.resume, token };
    const params = {
      protocolVersion: "2025-06-18",
      capabilities: {},
      clientInfo: { name: "session-pool-test", version: "1" },
    };
    const { response } = await exchange({ url, id: "", token }, "initialize", params, options.signal);
    const session = { url, id: response.headers.get("mcp-session-id") ?? "", token };
    const body = JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" });
    const done = await fetch(url, {
      method: "POST",
      headers: headersOf(session),
      body,
      signal: options.signal,
    });
    await done.arrayBuffer();
    return session;
  }

  async close(session: McpSession, reason: CloseReason): Promise<void> {
    this.closed.push(reason);
    if (reason === "handed_over") return;
    const response = await fetch(session.url, { method: "DELETE", headers: headersOf(session) });
    await response.arrayBuffer();
  }

  classify(error: unknown): SessionFault {
    if (!(error instanceof McpError)) return { kind: "transport" };
    if (error.status === 401) return { kind: "unauthorized", executed: false };
    if (error.status === 404) return { kind: "session_lost" };
    return { kind: error.rpcCode === undefined ? "transport" : "application" };
  }
}

/** Calls a tool and returns its structured content. */
export async function callTool<T>(session: McpSession, name: string, args: object = {}): Promise<T> {
  const result = await rpc<{ structuredContent: T }>(session, "tools/call", { name, arguments: args });
  return result.structuredContent;
}

/** Sends a request and returns its result. */
export async function rpc<T>(
  session: McpSession,
  method: string,
  params: object,
  signal?: AbortSignal,
): Promise<T> {
  return (await exchange<T>(session, method, params, signal)).result;
}

let lastId = 0;

async function exchange<T>(session: McpSession, method: string, params: object, signal?: AbortSignal) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: ++lastId, method, params });
  const headers = { ...headersOf(session), "mcp-method": method };
  const response = await fetch(session.url, { method: "POST", headers, body, ...(signal ? { signal } : {}) });
  const text = await response.text();
  if (!response.ok) throw new McpError(`HTTP ${response.status}`, { status: response.status });
  const line = text.split("\n").find((part) => part.startsWith("data: {"));
  const message = JSON.parse(line === undefined ? text : line.slice(6));
  if (message.error !== undefined) throw new McpError("JSON-RPC error", { rpcCode: message.error.code });
  return { response, result: message.result as T };
}

function headersOf(session: McpSession): Record<string, string> {
  return {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    authorization: `Bearer ${session.token}`,
    ...(session.id === "" ? {} : { "mcp-session-id": session.id }),
  };
}
