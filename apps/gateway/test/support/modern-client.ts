import { openRaw, type RawCall } from "./raw-client.ts";
import type { TestGateway } from "./test-gateway.ts";

/** What a modern client says with every request. */
export interface ModernRequest {
  readonly path: string;
  readonly method: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly id?: number | string;
  readonly capabilities?: object;
  /** Further members of `_meta`. */
  readonly meta?: object;
  readonly headers?: Record<string, string>;
  readonly token?: string;
}

/** Everything that a client can be asked. */
export const askable = { elicitation: { form: {} }, sampling: {}, roots: {} };

/** The envelope of a request. */
export function envelope(capabilities: object = {}, more: object = {}) {
  return {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": { name: "modern", version: "1" },
    "io.modelcontextprotocol/clientCapabilities": capabilities,
    ...more,
  };
}

function prepared(request: ModernRequest) {
  const { method, params = {}, id = 1, capabilities, meta, headers, token } = request;
  const name = params["name"] ?? params["uri"];
  return {
    body: { jsonrpc: "2.0", id, method, params: { ...params, _meta: envelope(capabilities, meta) } },
    headers: {
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": method,
      ...(typeof name === "string" ? { "mcp-name": name } : {}),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
  };
}

/** Opens a request whose answer may be a stream; cut as soon as `cutWhen` says so. */
export function openModern(
  gateway: TestGateway,
  request: ModernRequest & { readonly cutWhen?: () => Promise<unknown> },
): Promise<RawCall> {
  const { cutWhen } = request;
  return openRaw(gateway, request.path, { ...prepared(request), ...(cutWhen && { cutWhen }) });
}

/** Sends a request and waits for its answer: the last message, and those before it. */
export async function modern(gateway: Pick<TestGateway, "rpc">, request: ModernRequest) {
  const { body, headers } = prepared(request);
  const answer = await gateway.rpc(request.path, body, headers);
  if (typeof answer.body !== "string") return { ...answer, before: [] };
  // biome-ignore lint/suspicious/noExplicitAny: tests look into messages of any shape.
  const messages: any[] = answer.body
    .split("\n")
    .filter((line) => line.startsWith("data: {"))
    .map((line) => JSON.parse(line.slice(6)));
  return { ...answer, body: messages.at(-1), before: messages.slice(0, -1) };
}
