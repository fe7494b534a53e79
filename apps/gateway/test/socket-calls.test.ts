import { startEverythingServer } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { hello, modernParams, openSocket } from "./support/socket-client.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let everything: Awaited<ReturnType<typeof startEverythingServer>>;
let scripted: ScriptedServer;
let gateway: TestGateway;
let id: string;

beforeAll(async () => {
  everything = await startEverythingServer({ era: "legacy" });
  scripted = await startScriptedServer();
  gateway = await startTestGateway({
    mcpServers: { all: { url: everything.url }, up: { url: scripted.url, trusted: true } },
    plugins: [{ name: "retry", config: { baseMs: 5_000, maxMs: 5_000, jitter: "none" } }],
  });
  await gateway.core.refresher.ready();
  id = await gateway.idOf("up");
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await Promise.all([everything.close(), scripted.close()]);
});

const call = (name: string, more: object = {}) => ({
  method: "tools/call",
  params: { name, arguments: {}, ...more },
});

describe("what is said over a WebSocket", () => {
  it("is plain JSON-RPC without a handshake", async () => {
    await using client = await openSocket(gateway);
    const list = await client.ask({ id: 1, method: "tools/list" });
    expect(list.result.tools.map((tool: { name: string }) => tool.name)).toContain("up_read");
    const answer = await client.ask({ id: "two", ...call("up_read") });
    expect(answer).toMatchObject({ jsonrpc: "2.0", id: "two", result: { content: [{ text: "done" }] } });
  });

  it("is a stateless request with its envelope, answered by a stateless server unchanged", async () => {
    await using client = await openSocket(gateway, `/servers/${id}/ws`);
    const params = modernParams({ name: "read", arguments: { a: 1 } });
    const answer = await client.ask({ id: 1, method: "tools/call", params });
    expect(answer.result).toMatchObject({ content: [{ text: "done" }], resultType: "complete" });
    expect(scripted.seen("tools/call").at(-1)?.params).toMatchObject({ name: "read", arguments: { a: 1 } });
  });

  it("is a handshake and a session, whose questions and news come over the same socket", async () => {
    await using client = await openSocket(gateway, "/ws", { protocol: "mcp" });
    expect(client.socket.protocol).toBe("mcp");
    const opened = await client.ask(hello({ elicitation: {} }));
    expect(opened.result).toMatchObject({
      protocolVersion: "2025-11-25",
      serverInfo: { name: "gatewright" },
    });
    client.send({ jsonrpc: "2.0", method: "notifications/initialized" });

    client.send({
      jsonrpc: "2.0",
      id: 7,
      ...call("all_test_elicitation", { arguments: { message: "Who?" } }),
    });
    const question = await client.find(({ method }) => method === "elicitation/create");
    expect(question.params.message).toBe("Who?");
    const content = { username: "ada", email: "ada@example.org" };
    client.send({ jsonrpc: "2.0", id: question.id, result: { action: "accept", content } });
    const answer = await client.find((message) => message.id === 7);
    expect(JSON.stringify(answer.result)).toContain("ada");

    const progressed = call("all_test_tool_with_progress", { _meta: { progressToken: "p" } });
    await client.ask({ id: 8, ...progressed });
    const progress = client.messages.filter(({ method }) => method === "notifications/progress");
    expect(progress.map(({ params }) => params.progressToken)).toEqual(["p", "p", "p"]);

    await client.ask({ id: 9, ...call("all_test_trigger_tool_change") });
    await client.find(({ method }) => method === "notifications/tools/list_changed");
    expect(gateway.core.sessions.size).toBe(1);
  });

  it("ends with the socket, its session too", async () => {
    const before = gateway.core.sessions.size;
    const client = await openSocket(gateway);
    await client.ask(hello());
    expect(gateway.core.sessions.size).toBe(before + 1);
    await client[Symbol.asyncDispose]();
    await eventually(() => gateway.core.sessions.size === before);
  });

  it("may be cancelled by its id, and gets no answer then", async () => {
    await using client = await openSocket(gateway, `/servers/${id}/ws`);
    const before = scripted.seen("tools/call").length;
    scripted.script("tools/call", () => undefined, { result: { content: [] } });
    client.send({ jsonrpc: "2.0", id: "long", method: "tools/call", params: modernParams({ name: "read" }) });
    await eventually(() => scripted.seen("tools/call").length === before + 1);
    client.send({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: "long" } });
    await eventually(() => scripted.seen("tools/call")[before]?.aborted === true);
    // The id is free again, and the next answer under it is the next call's.
    const again = await client.ask({
      id: "long",
      method: "tools/call",
      params: modernParams({ name: "read" }),
    });
    expect(again.result.content).toEqual([]);
    expect(client.messages).toHaveLength(1);
  });

  it("is limited by the plugins like every call", async () => {
    await using limited = await startTestGateway({
      mcpServers: { up: { url: scripted.url } },
      plugins: [{ name: "rate_limiter", config: { rules: { by_user: "1/m" } } }],
    });
    await limited.core.refresher.ready();
    await using client = await openSocket(limited);
    await client.ask({ id: 1, ...call("up_write") });
    const refused = await client.ask({ id: 2, ...call("up_write") });
    expect(refused.error).toMatchObject({ code: -31001, data: { code: "rate_limited", retryable: true } });
    expect(refused.error.data.retryAfterMs).toBeGreaterThan(0);
  });
});

describe("a client whose socket closes during a backoff", () => {
  const waiting = () => gateway.core.calls.retries.stats().waiting;
  const variants = [
    {
      name: "a stateless client",
      path: () => `/servers/${id}/ws`,
      tool: "read",
      open: undefined,
      modern: true,
    },
    { name: "a plain JSON-RPC client", path: () => "/ws", tool: "up_read", open: undefined, modern: false },
    { name: "a client with a session", path: () => "/ws", tool: "up_read", open: hello(), modern: false },
  ];
  for (const { name, path, tool, open, modern } of variants) {
    it(`RB-8 ends its 5 s of waiting and makes no further call: ${name}`, async () => {
      scripted.script("tools/call", { status: 503 });
      const before = scripted.seen("tools/call").length;
      const client = await openSocket(gateway, path());
      if (open !== undefined) await client.ask(open);
      const params = { name: tool, arguments: {} };
      client.send({
        jsonrpc: "2.0",
        id: 1,
        method: "tools/call",
        params: modern ? modernParams(params) : params,
      });
      await eventually(() => waiting() === 1);
      const startedMs = performance.now();
      await client[Symbol.asyncDispose]();
      await eventually(() => waiting() === 0);
      expect(performance.now() - startedMs).toBeLessThan(2_500);
      expect(scripted.seen("tools/call").length).toBe(before + 1);
      scripted.script("tools/call", { result: { content: [{ type: "text", text: "done" }] } });
    });
  }

  it("ends a call that is with the upstream", async () => {
    const before = scripted.seen("tools/call").length;
    scripted.script("tools/call", () => undefined, { result: {} });
    const client = await openSocket(gateway);
    client.send({ jsonrpc: "2.0", id: 1, ...call("up_write") });
    await eventually(() => scripted.seen("tools/call").length === before + 1);
    await client[Symbol.asyncDispose]();
    await eventually(() => scripted.seen("tools/call")[before]?.aborted === true);
  });
});
