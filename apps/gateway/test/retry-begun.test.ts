import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { reservePort } from "@gatewright/testkit";
import { afterEach, expect, it } from "vitest";
import { askable, modern } from "./support/modern-client.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

type Message = {
  id: number;
  method: string;
  params: { requestState?: string; _meta?: Record<string, unknown> };
};
type Answer = (result: unknown, headers?: Record<string, string>) => void;

const ends: (() => void)[] = [];

afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A server by hand, as those of the SDK neither end a stream before the answer nor refuse a later round. */
async function serve(handle: (message: Message, answer: Answer, response: ServerResponse) => void) {
  const listener: RequestListener = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.method !== "POST") return void response.writeHead(405).end();
    const message = JSON.parse(Buffer.concat(chunks).toString()) as Message;
    if (message.id === undefined) return void response.writeHead(202).end();
    const answer: Answer = (result, headers = {}) => {
      response.writeHead(200, { "content-type": "application/json", ...headers });
      response.end(JSON.stringify({ jsonrpc: "2.0", id: message.id, result }));
    };
    handle(message, answer, response);
  };
  let server = createServer(listener);
  const { port, release } = await reservePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  ends.push(stop, release);
  const restart = () => {
    stop();
    setTimeout(() => {
      server = createServer(listener).listen(port, "127.0.0.1");
    }, 150);
  };
  return { url: `http://127.0.0.1:${port}/mcp`, restart };
}

const plugins = [{ name: "retry", config: { baseMs: 400, maxMs: 400, jitter: "none" } }];
const tools = [{ name: "pay", inputSchema: { type: "object" } }];
const serverInfo = { name: "by-hand", version: "1" };
const own = { resultType: "complete", ttlMs: 0, cacheScope: "private" };
const call = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "pay", arguments: {} } };

it("RB-10 a call whose stream ended, and cannot be gone on with as the server is away, is not made again", async () => {
  let executed = 0;
  const { url, restart } = await serve(({ id, method }, answer, response) => {
    if (method === "initialize") {
      const result = { protocolVersion: "2025-06-18", capabilities: { tools: {} }, serverInfo };
      return answer(result, { "mcp-session-id": "s" });
    }
    if (method === "tools/list") return answer({ tools });
    if (method !== "tools/call") {
      response.writeHead(400, { "content-type": "application/json" });
      return response.end(JSON.stringify({ jsonrpc: "2.0", id, error: { code: -32601, message: "no" } }));
    }
    if (++executed > 1) return answer({ content: [] });
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end("id: a-1\nretry: 50\ndata:\n\n", () => setTimeout(restart, 5));
  });
  await using gateway = await startTestGateway({ mcpServers: { up: { url } }, plugins });
  await gateway.core.refresher.ready();
  const { body } = await gateway.rpc("/mcp/http", { ...call, params: { name: "up_pay", arguments: {} } });
  expect(body.error.data).toMatchObject({ code: "outcome_unknown" });
  expect(executed).toBe(1);
});

/** A server without sessions that answers tool calls by hand, and a client with a session in front of it. */
async function bridged(
  handle: (message: Message, answer: Answer, response: ServerResponse) => void,
  upstream: object = {},
) {
  const { url } = await serve((message, answer, response) => {
    if (message.method === "server/discover") {
      return answer({ ...own, supportedVersions: ["2026-07-28"], capabilities: { tools: {} }, serverInfo });
    }
    if (message.method === "tools/list") return answer({ ...own, tools });
    if (message.method !== "tools/call") return response.writeHead(404).end();
    handle(message, answer, response);
  });
  const gateway = await startTestGateway({ mcpServers: { up: { url, ...upstream } }, plugins });
  ends.push(() => void gateway.close());
  await gateway.core.refresher.ready();
  const path = `/servers/${await gateway.idOf("up")}/mcp`;
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "c", version: "1" } };
  const hello = await gateway.rpc(path, { jsonrpc: "2.0", id: 0, method: "initialize", params });
  const headers = {
    "mcp-session-id": hello.headers.get("mcp-session-id") ?? "",
    "mcp-protocol-version": "2025-11-25",
  };
  return { gateway, call: (more = {}) => gateway.rpc(path, call, { ...headers, ...more }) };
}

async function attemptsOf({ url }: TestGateway): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(text.match(/^retry_attempts_sum (\d+)$/m)?.[1]);
}

it.each([
  [503, "outcome_unknown"],
  [429, "outcome_unknown"],
  [401, "outcome_unknown"],
  [404, "upstream_unreachable"],
])(
  "RB-10 a call that has asked something is not begun again when a later round of it is refused with %i",
  async (status, code) => {
    let begun = 0;
    let refused = 0;
    const { call } = await bridged(({ params }, answer, response) => {
      if (params.requestState === undefined) {
        begun++;
        return answer({ resultType: "input_required", requestState: "begun", inputRequests: {} });
      }
      if (++refused === 1) return response.writeHead(status).end();
      answer({ ...own, content: [] });
    });
    expect((await call()).body.error.data).toMatchObject({ code, retryable: false });
    expect({ begun, refused }).toEqual({ begun: 1, refused: 1 });
  },
);

it("RB-10 a failure that nobody foresaw leaves the outcome unknown: the call is not begun again", async () => {
  let begun = 0;
  const { gateway, call } = await bridged((_, answer) => {
    begun++;
    answer({ ...own, content: [] });
  });
  // The real pool, with a fault such as no check finds: what is done with an answer fails.
  const { pool } = gateway.core;
  const acquire = pool.acquire.bind(pool);
  const faulty = async (...wanted: Parameters<typeof acquire>) => {
    const lease = await acquire(...wanted);
    const release = () => {
      lease.fail(new Error("over"));
      throw new TypeError("a fault");
    };
    return { ...lease, session: lease.session, release };
  };
  Object.assign(pool, { acquire: faulty, tryAcquire: () => undefined });
  const { body } = await call();
  expect(body.error).toMatchObject({
    code: -31004,
    data: { code: "outcome_unknown", reason: "unsafe_to_repeat", retryable: false },
  });
  expect(begun).toBe(1);
  const { retry } = (await gateway.rest("GET", "/admin/limits")).body;
  expect(retry.giveUps).toEqual({ unsafe_to_repeat: 1 });
  const faults = gateway.logs.filter((line) => line.includes("by a fault of the gateway"));
  expect(faults).toEqual([expect.stringContaining("TypeError")]);
});

it("RB-10 an answer that turns out to be no JSON was an answer: the call failed, is counted, and is not begun again", async () => {
  let begun = 0;
  const { gateway, call } = await bridged(({ id }, _, response) => {
    begun++;
    response.writeHead(200, { "content-type": "application/json" });
    response.end(`{"jsonrpc":"2.0","id":${id},"result":{"isError":tru}}`);
  });
  const before = await attemptsOf(gateway);
  const { data } = (await call()).body.error;
  expect(data).toMatchObject({ code: "upstream_unreachable", reason: "not_retryable", retryable: false });
  expect(begun).toBe(1);
  expect(await attemptsOf(gateway)).toBe(before + 1);
});

it("a call whose first round is refused for its credentials is sent once more, in a new session, and that shows", async () => {
  let sent = 0;
  const { gateway, call } = await bridged((_, answer, response) => {
    if (++sent === 1) return response.writeHead(401).end();
    return answer({ ...own, content: [] });
  });
  const before = await attemptsOf(gateway);
  expect((await call()).body.result).toBeDefined();
  expect(sent).toBe(2);
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
  expect(metrics).toContain('retry_retries_total{reason="new_session"} 1');
  expect(await attemptsOf(gateway)).toBe(before + 1);
});

it("the time of a call is that of all its rounds", async () => {
  let rounds = 0;
  const { call } = await bridged((_, answer) => {
    rounds++;
    setTimeout(() => answer({ resultType: "input_required", requestState: "on", inputRequests: {} }), 200);
  });
  const { body } = await call({ "x-gatewright-timeout-ms": "1000" });
  expect(JSON.stringify(body)).toContain("upstream_timeout");
  expect(rounds).toBeLessThanOrEqual(6);
});

it("a key that makes a repeat safe reaches the upstream with every attempt, whichever revisions the two speak", async () => {
  const keys: unknown[] = [];
  const note = ({ params }: Message) => keys.push(params._meta?.["io.gatewright/idempotencyKey"]);
  const { call } = await bridged(
    (message, answer, response) => {
      note(message);
      if (keys.length === 1) return void response.socket?.resetAndDestroy();
      answer({ ...own, content: [] });
    },
    { idempotency: true },
  );
  expect((await call()).body.result).toBeDefined();
  const legacy = await serve((message, answer, response) => {
    if (message.method === "initialize") {
      return answer({ protocolVersion: "2025-06-18", capabilities: { tools: {} }, serverInfo });
    }
    if (message.method === "tools/list") return answer({ tools });
    if (message.method !== "tools/call") return response.writeHead(404).end();
    note(message);
    if (keys.length === 3) return void response.socket?.resetAndDestroy();
    answer({ content: [] });
  });
  await using gateway = await startTestGateway({
    mcpServers: { up: { url: legacy.url, idempotency: true } },
    plugins,
  });
  await gateway.core.refresher.ready();
  const path = `/servers/${await gateway.idOf("up")}/mcp`;
  const { body } = await modern(gateway, {
    path,
    method: "tools/call",
    params: { name: "pay", arguments: {} },
  });
  expect(body.result).toBeDefined();
  expect(keys).toHaveLength(4);
  expect(keys.every((key) => typeof key === "string")).toBe(true);
  expect(new Set(keys).size).toBe(2);
});

it("RB-10 what a gateway gives up after it has begun is no refusal: a gateway in front of it does not begin it again", async () => {
  let begun = 0;
  const { url } = await serve((message, answer, response) => {
    if (message.method === "initialize") {
      const result = { protocolVersion: "2025-06-18", capabilities: { tools: {} }, serverInfo };
      return answer(result, { "mcp-session-id": "s" });
    }
    if (message.method === "tools/list") return answer({ tools });
    if (message.method !== "tools/call") return response.writeHead(404).end();
    begun++;
    const params = { message: "sure?", requestedSchema: { type: "object", properties: {} } };
    const asked = { jsonrpc: "2.0", id: 9, method: "elicitation/create", params };
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`data: ${JSON.stringify(asked)}\n\n`);
  });
  await using inner = await startTestGateway({
    mcpServers: { up: { url } },
    bridge: { maxParked: 1, maxParkedPerPrincipal: 1 },
    plugins,
  });
  await inner.core.refresher.ready();
  const path = `/servers/${await inner.idOf("up")}/mcp`;
  await using outer = await startTestGateway({
    mcpServers: {
      inner: { url: `${inner.url}${path}`, headers: { authorization: `Bearer ${inner.token}` } },
    },
    plugins,
  });
  await outer.core.refresher.ready();
  const request = {
    method: "tools/call",
    params: { name: "pay", arguments: {} },
    capabilities: askable,
  };
  expect((await modern(inner, { ...request, path })).body.result.resultType).toBe("input_required");
  const { body } = await modern(outer, { ...request, path: `/servers/${await outer.idOf("inner")}/mcp` });
  expect(begun).toBe(2);
  expect(body.error.data).toMatchObject({ code: "outcome_unknown", retryable: false });
});

const withholding = (violation: object) => `export default {
  name: "own", version: "1.0.0", description: "withholds answers",
  hooks: { tool_post_invoke: { reads: "outcome" } },
  create: () => ({ hooks: { tool_post_invoke: () => ({ block: ${JSON.stringify(violation)} }) } }),
};
`;

it.each([
  { httpStatus: 503, code: "rate_limited" },
  { httpStatus: 429, code: "busy" },
  { httpStatus: 401, code: "who" },
])(
  "RB-10 an answer that a plugin withholds with $httpStatus was executed: a gateway in front does not ask again",
  async (config) => {
    let executed = 0;
    const { url } = await serve((message, answer, response) => {
      if (message.method === "server/discover") {
        return answer({ ...own, supportedVersions: ["2026-07-28"], capabilities: { tools: {} }, serverInfo });
      }
      if (message.method === "tools/list") return answer({ ...own, tools });
      if (message.method !== "tools/call") return response.writeHead(404).end();
      executed++;
      answer({ ...own, content: [] });
    });
    const folder = await mkdtemp(join(tmpdir(), "gatewright-withheld-"));
    ends.push(() => void rm(folder, { recursive: true }));
    const module = join(folder, "own.mjs");
    await writeFile(module, withholding({ ...config, reason: "no", details: { retryAfterMs: 1 } }));
    await using inner = await startTestGateway({
      mcpServers: { up: { url } },
      plugins: [...plugins, { name: "own", module }],
    });
    await inner.core.refresher.ready();
    const path = `/servers/${await inner.idOf("up")}/mcp`;
    await using outer = await startTestGateway({
      mcpServers: {
        inner: { url: `${inner.url}${path}`, headers: { authorization: `Bearer ${inner.token}` } },
      },
      plugins,
    });
    await outer.core.refresher.ready();
    const request = { method: "tools/call", params: { name: "pay", arguments: {} } };
    const { body } = await modern(outer, { ...request, path: `/servers/${await outer.idOf("inner")}/mcp` });
    expect(executed).toBe(1);
    expect(body.error.data).toMatchObject({ retryable: false });
    const direct = await modern(inner, { ...request, path });
    expect(direct).toMatchObject({
      status: 403,
      body: { error: { data: { code: config.code, retryable: false } } },
    });
  },
);

it("a later round that is refused is no refusal of the call, with `retry` switched off neither", async () => {
  const { gateway, call } = await bridged(({ params }, answer, response) => {
    if (params.requestState !== undefined) response.writeHead(503).end();
    else answer({ resultType: "input_required", requestState: "begun", inputRequests: {} });
  });
  await gateway.rest("PUT", "/admin/plugins/retry/mode", { mode: "disabled", waitFor: "all" });
  const { status, body } = await call();
  expect([status, body.error.data.code, body.error.data.retryable]).toEqual([200, "outcome_unknown", false]);
});
