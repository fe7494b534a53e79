import {
  startCounterServer,
  startEverythingServer,
  startFlakyServer,
  startRawServer,
  startSlowServer,
} from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let counter: Awaited<ReturnType<typeof startCounterServer>>;
let everything: Awaited<ReturnType<typeof startEverythingServer>>;
let flaky: Awaited<ReturnType<typeof startFlakyServer>>;
let raw: Awaited<ReturnType<typeof startRawServer>>;
let modern: Awaited<ReturnType<typeof startRawServer>>;
let slow: Awaited<ReturnType<typeof startSlowServer>>;
let gateway: TestGateway;

beforeAll(async () => {
  counter = await startCounterServer();
  everything = await startEverythingServer({ era: "legacy" });
  flaky = await startFlakyServer({ share: 1, faults: ["unavailable"] });
  raw = await startRawServer();
  modern = await startRawServer({ era: "modern" });
  slow = await startSlowServer();
  gateway = await startTestGateway({
    mcpServers: {
      counter: { url: counter.url },
      everything: { url: everything.url },
      flaky: { url: flaky.url, trusted: true, idempotency: true },
      raw: { url: raw.url, passthroughHeaders: ["X-Trace"] },
      modern: { url: modern.url },
      slow: { url: slow.url },
    },
    plugins: [
      { name: "rate_limiter", config: { rules: { by_tool: { payload: "2/m" } } } },
      { name: "retry", config: { maxRetries: 2, baseMs: 1, maxMs: 5 } },
    ],
    bridge: { requestTimeoutMs: 2_000 },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  for (const fixture of [counter, everything, flaky, raw, modern, slow]) await fixture.close();
});

const call = (name: string, args: unknown, id: unknown = 1) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name, arguments: args },
});

const hello = {
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } },
};

async function open(path: string, token = gateway.token): Promise<Record<string, string>> {
  const opened = await gateway.rpc(path, hello, { authorization: `Bearer ${token}` });
  expect(opened.status).toBe(200);
  const id = opened.headers.get("mcp-session-id") ?? "";
  return { "mcp-session-id": id, "mcp-protocol-version": "2025-11-25", authorization: `Bearer ${token}` };
}

const server = async (name: string) => `/servers/${await gateway.idOf(name)}/mcp`;

describe("sessions of legacy clients", () => {
  it("two sessions of one user keep their own upstream state", async () => {
    const path = await server("counter");
    const [a, b] = [await open(path), await open(path)];
    await gateway.rpc(path, call("add", { amount: 5 }), a);
    await gateway.rpc(path, call("add", { amount: 3 }), b);
    const values = await Promise.all([a, b].map((session) => gateway.rpc(path, call("read", {}), session)));
    expect(values.map((answer) => answer.body.result.structuredContent.value)).toEqual([5, 3]);
  });

  it("a missing session is 400, an unknown one 404, a foreign one 403, and one ends by DELETE", async () => {
    const path = await server("raw");
    const mine = await open(path);
    expect((await gateway.rpc(path, call("echo", { text: "x" }))).status).toBe(400);
    const unknown = await gateway.rpc(path, call("echo", {}), { ...mine, "mcp-session-id": "nope" });
    expect(unknown.status).toBe(404);
    expect(unknown.body.id).toBe(1);
    const foreign = await gateway.mint({ user: "mallory" });
    for (const method of ["POST", "GET", "DELETE"]) {
      const answer = await fetch(`${gateway.url}${path}`, {
        method,
        headers: {
          ...mine,
          authorization: `Bearer ${foreign}`,
          accept: "text/event-stream",
          "content-type": "application/json",
        },
        ...(method === "POST" ? { body: JSON.stringify(call("echo", {})) } : {}),
      });
      expect(answer.status).toBe(403);
      await answer.text();
    }
    const ended = await fetch(`${gateway.url}${path}`, { method: "DELETE", headers: mine });
    expect(ended.status).toBe(204);
    expect((await gateway.rpc(path, call("echo", {}), mine)).status).toBe(404);
    const other = await open("/mcp");
    expect((await gateway.rpc(path, call("echo", {}), other)).status).toBe(404);
    await eventually(() => raw.stats().sessionsClosed > 0);
  });

  it("a GET without the Accept for streams is refused", async () => {
    const path = await server("raw");
    const session = await open(path);
    const answer = await fetch(`${gateway.url}${path}`, {
      headers: { ...session, accept: "application/json" },
    });
    expect(answer.status).toBe(400);
    await answer.text();
  });

  it("a client's answers reach the server that asked, and changes reach the client's stream", async () => {
    const client = new Client(
      { name: "asked", version: "1" },
      { capabilities: { sampling: {}, elicitation: {}, roots: {} } },
    );
    client.setRequestHandler("sampling/createMessage", () => ({
      model: "m",
      role: "assistant" as const,
      content: { type: "text" as const, text: "sampled!" },
    }));
    const transport = new StreamableHTTPClientTransport(
      new URL(`${gateway.url}${await server("everything")}`),
      {
        requestInit: { headers: { authorization: `Bearer ${gateway.token}` } },
      },
    );
    await client.connect(transport);
    expect(client.getInstructions()).toBe("Everything that MCP knows, for tests.");
    const result = await client.callTool({ name: "test_sampling", arguments: { prompt: "hi" } });
    expect(JSON.stringify(result.content)).toContain("sampled!");
    const logs: unknown[] = [];
    client.setNotificationHandler("notifications/message", (message) => void logs.push(message.params.data));
    await client.setLoggingLevel("debug");
    await client.callTool({ name: "test_tool_with_logging", arguments: {} });
    expect(logs.length).toBeGreaterThan(0);
    await client.close();
  });

  it("a plain caller cannot be asked: the server gets an error instead of waiting", async () => {
    const answer = await gateway.rpc("/mcp/http", call("everything_test_sampling", { prompt: "hi" }));
    expect(answer.status).toBe(200);
    expect(answer.body.id).toBe(1);
  });

  it("a cancelled call ends upstream, and gets no answer", async () => {
    const path = await server("slow");
    const session = await open(path);
    const pending = gateway.rpc(path, call("hang", {}, 77), session);
    await eventually(() => slow.calls().started > 0);
    const cancel = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 77 } };
    expect((await gateway.rpc(path, cancel, session)).status).toBe(202);
    expect((await pending).body).toBe("");
    await eventually(() => slow.calls().aborted > 0);
  });

  it("other notifications go on to the upstream", async () => {
    const path = await server("raw");
    const session = await open(path);
    const before = raw.stats().requests["notifications/roots/list_changed"] ?? 0;
    await gateway.rpc(
      path,
      { jsonrpc: "2.0", method: "notifications/roots/list_changed", params: {} },
      session,
    );
    expect(raw.stats().requests["notifications/roots/list_changed"]).toBe(before + 1);
    const answer = await gateway.rpc(path, { jsonrpc: "2.0", id: "gw-9", result: {} }, session);
    expect(answer.status).toBe(202);
  });

  it("a legacy client of a modern-only server is served", async () => {
    const path = await server("modern");
    const session = await open(path);
    const answer = await gateway.rpc(path, call("echo", { text: "over" }), session);
    expect(JSON.stringify(answer.body.result)).toContain("over");
  });
});

describe("modern clients", () => {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": { name: "t", version: "1" },
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "echo" };

  it("pass through to a modern upstream, headers checked", async () => {
    const path = await server("modern");
    const body = {
      ...call("echo", { text: "new" }),
      params: { name: "echo", arguments: { text: "new" }, _meta: meta },
    };
    const answer = await gateway.rpc(path, body, { ...headers, "mcp-param-x": "1" });
    expect(answer.status).toBe(200);
    expect(answer.body.result.resultType).toBe("complete");
    const wrong = await gateway.rpc(path, body, { ...headers, "mcp-name": "other" });
    expect(wrong.status).toBe(400);
    expect(wrong.body).toMatchObject({ id: 1, error: { code: -32020 } });
    const missing = await gateway.rpc(
      path,
      { ...body, method: "no/such" },
      { ...headers, "mcp-method": "no/such" },
    );
    expect(missing.status).toBe(404);
    expect(missing.body).toMatchObject({ id: 1, error: { code: -32601 } });
    const note = { jsonrpc: "2.0", method: "notifications/x", params: { _meta: meta } };
    expect((await gateway.rpc(path, note, headers)).status).toBe(202);
    expect(
      (
        await fetch(`${gateway.url}${path}`, {
          headers: { ...headers, authorization: `Bearer ${gateway.token}` },
        })
      ).status,
    ).toBe(405);
  });

  it("closing the answer's stream cancels upstream", async () => {
    const started = slow.calls().started;
    const aborted = slow.calls().aborted;
    const control = new AbortController();
    const pending = fetch(`${gateway.url}/mcp/http`, {
      method: "POST",
      headers: { authorization: `Bearer ${gateway.token}`, "content-type": "application/json" },
      body: JSON.stringify(call("slow_hang", {})),
      signal: control.signal,
    });
    await eventually(() => slow.calls().started > started);
    control.abort();
    await expect(pending).rejects.toThrow();
    await eventually(() => slow.calls().aborted > aborted);
  });
});

describe("retries, limits and timeouts", () => {
  it("repeats what may be repeated, and says how often it tried", async () => {
    const key = "always-failing";
    const answer = await gateway.rpc("/mcp/http", call("flaky_read", { key }));
    expect(flaky.attemptsOf(key)).toBe(3);
    expect(answer.status).toBe(503);
    expect(answer.body).toMatchObject({ id: 1, error: { data: { attempts: 3, retryable: true } } });
    flaky.setShare(0);
    const fine = await gateway.rpc("/mcp/http", call("flaky_write", { key: "once" }));
    expect(fine.body.result).toBeDefined();
    expect(flaky.attemptsOf("once")).toBe(1);
  });

  it("an idempotency key is passed on, or minted, for servers that honour them, and stripped for others", async () => {
    flaky.setShare(0);
    const given = {
      ...call("flaky_write", { key: "k" }),
      params: {
        name: "flaky_write",
        arguments: { key: "k" },
        _meta: { "io.gatewright/idempotencyKey": "mine" },
      },
    };
    expect((await gateway.rpc("/mcp/http", given)).body.result).toBeDefined();
    const stripped = {
      ...call("raw_echo", {}),
      params: {
        name: "raw_echo",
        arguments: { text: "s" },
        _meta: { "io.gatewright/idempotencyKey": "mine", other: 1 },
      },
    };
    expect((await gateway.rpc("/mcp/http", stripped, { "x-trace": "1" })).body.result).toBeDefined();
  });

  it("a refused call is 429 with a valid JSON-RPC error and headers; allowed ones have the headers too", async () => {
    const request = call("raw_payload", { bytes: 10 });
    const first = await gateway.rpc("/mcp/http", request);
    expect(first.headers.get("x-ratelimit-remaining")).toBe("1");
    await gateway.rpc("/mcp/http", request);
    const refused = await gateway.rpc("/mcp/http", request);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(refused.body).toMatchObject({
      jsonrpc: "2.0",
      id: 1,
      error: { code: -31001, data: { code: "rate_limited" } },
    });
    expect(refused.body.error.data.retryAfterMs).toBeGreaterThan(0);
    const put = (mode: string) =>
      gateway.rest("PUT", "/admin/plugins/rate_limiter/mode", { mode, waitFor: "all" });
    await put("disabled");
    expect((await gateway.rpc("/mcp/http", request)).status).toBe(200);
    await put("enforce");
  });

  it("an upstream that does not answer in time is a timeout of the call", async () => {
    const answer = await gateway.rpc("/mcp/http", call("slow_slow", { ms: 60_000 }));
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ id: 1, error: { code: -31003, data: { code: "upstream_timeout" } } });
  });

  it("an answer that is large is relayed as it came", async () => {
    await gateway.rest("PUT", "/admin/plugins/rate_limiter/mode", { mode: "disabled", waitFor: "all" });
    const answer = await gateway.rpc("/mcp/http", call("raw_payload", { bytes: 200_000 }, "ünï"));
    expect(answer.body.id).toBe("ünï");
    expect(JSON.stringify(answer.body).length).toBeGreaterThan(200_000);
    const small = await gateway.rpc("/mcp/http", call("raw_payload", { bytes: 10 }, "ünï"));
    expect(small.body.id).toBe("ünï");
    await gateway.rest("DELETE", "/admin/plugins/rate_limiter/mode");
  });
});

describe("the aggregated endpoint", () => {
  it("serves resources, templates, completion and subscriptions by their URIs", async () => {
    const session = await open("/mcp");
    const ask = async (method: string, params: unknown) =>
      (await gateway.rpc("/mcp", { jsonrpc: "2.0", id: 1, method, params }, session)).body;
    const { resources } = (await ask("resources/list", {})).result;
    const read = await ask("resources/read", { uri: resources[0].uri });
    expect(read.result.contents[0].uri).toBe(resources[0].uri);
    const templated = await ask("resources/read", { uri: "everything+test://template/42/data" });
    expect(JSON.stringify(templated.result)).toContain("42");
    expect((await ask("resources/read", { uri: "none://x" })).error.code).toBe(-32602);
    expect((await ask("resources/subscribe", { uri: resources[0].uri })).result).toEqual({});
    expect((await ask("logging/setLevel", { level: "warning" })).result).toEqual({});
    const prompt = {
      ref: { type: "ref/prompt", name: "everything_test_prompt_with_arguments" },
      argument: { name: "arg1", value: "p" },
    };
    expect((await ask("completion/complete", prompt)).result.completion).toBeDefined();
    const template = {
      ref: { type: "ref/resource", uri: "everything+test://template/{id}/data" },
      argument: { name: "id", value: "1" },
    };
    expect(
      (await ask("completion/complete", template)).result ??
        (await ask("completion/complete", template)).error,
    ).toBeDefined();
    expect((await ask("ping", {})).result).toEqual({});
    const plain = await gateway.rpc("/mcp/http", { ...hello, id: 4 });
    expect(plain.body).toMatchObject({ id: 4, result: { serverInfo: { name: "gatewright" } } });
    expect((await gateway.rpc("/mcp/http", { jsonrpc: "2.0", method: "notifications/x" })).status).toBe(202);
  });
});
