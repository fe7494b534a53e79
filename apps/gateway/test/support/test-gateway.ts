import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { type Gateway, startGateway } from "../../src/app/gateway.ts";
import { mintToken, type TokenRequest } from "../../src/auth/mint-token.ts";
import { gatewayConfig } from "../../src/config/gateway-config.ts";
import { loadSecret } from "../../src/secret/gateway-secret.ts";

/** A gateway in this process, on a free port, with a data folder of its own. */
export interface TestGateway extends Gateway, GatewayClient {
  readonly dataDir: string;
  /** Lines that were logged. */
  readonly logs: string[];
  mint(request: Partial<TokenRequest>): Promise<string>;
  /** The id of the gateway with that name. */
  idOf(name: string): Promise<string>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** How to call a gateway. */
export interface GatewayClient {
  readonly url: string;
  /** A token of user `tester` with both scopes. */
  readonly token: string;
  /** Calls the REST surface with the token. */
  rest(method: string, path: string, body?: unknown, token?: string): Promise<RestAnswer>;
  /** Posts a JSON-RPC body (text or value) to an MCP route. */
  rpc(path: string, body: unknown, headers?: Record<string, string>): Promise<RpcAnswer>;
}

export interface RestAnswer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape.
  readonly body: any;
}

export type RpcAnswer = RestAnswer;

/** Starts one; `config` is the content of a configuration file. */
export async function startTestGateway(
  config: Record<string, unknown> = {},
  options: { readonly dataDir?: string } = {},
): Promise<TestGateway> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), "gatewright-test-")));
  // Nothing balances the load of a test, so nothing has to notice that its gateway stops.
  const server = { drainNoticeMs: 0, ...(config["server"] as object | undefined), port: 0, dataDir };
  // An answer is late on a busy machine: it becomes a stream where that is what a test is about.
  const limits = { streamAfterMs: 60_000, ...(config["limits"] as object | undefined) };
  const parsed = gatewayConfig.parse({
    observability: { processMetrics: false },
    ...config,
    limits,
    server,
  });
  const secret = loadSecret(dataDir, {});
  const logs: string[] = [];
  const logger = pino({ level: "debug" }, { write: (line: string) => void logs.push(line) });
  const gateway = await startGateway(parsed, { secret, logger });
  const mint = async (request: Partial<TokenRequest>) =>
    mintToken(secret, {
      user: "tester",
      scopes: ["mcp", "admin"],
      audience: "gatewright",
      expiresInSeconds: 600,
      ...request,
    });
  const token = await mint({});
  return {
    ...gateway,
    dataDir,
    logs,
    mint,
    ...gatewayClient(gateway.url, token),
    async idOf(name) {
      const page = await gateway.core.registry.upstreams({ name, limit: 1, offset: 0 });
      const [record] = page.items;
      if (record === undefined) throw new Error(`no gateway ${name}`);
      return record.id;
    },
    async [Symbol.asyncDispose]() {
      await gateway.close();
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** The calls to a gateway, wherever it runs. */
export function gatewayClient(url: string, token: string): GatewayClient {
  const send = async (method: string, path: string, headers: Record<string, string>, body?: string) => {
    const init = { method, headers, ...(body === undefined ? {} : { body }) };
    const response = await fetch(`${url}${path}`, init);
    const text = await response.text();
    const type = response.headers.get("content-type") ?? "";
    const parsedBody = type.includes("json") && text !== "" ? JSON.parse(text) : text;
    return { status: response.status, headers: response.headers, body: parsedBody };
  };
  return {
    url,
    token,
    rest: (method, path, body, own = token) =>
      send(
        method,
        path,
        {
          authorization: `Bearer ${own}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        body === undefined ? undefined : JSON.stringify(body),
      ),
    rpc: (path, body, headers = {}) =>
      send(
        "POST",
        path,
        {
          authorization: `Bearer ${token}`,
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          ...headers,
        },
        typeof body === "string" ? body : JSON.stringify(body),
      ),
  };
}
