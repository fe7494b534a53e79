import { startEverythingServer } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openEvents } from "./support/events-client.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { hello } from "./support/socket-client.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let everything: Awaited<ReturnType<typeof startEverythingServer>>;
let scripted: ScriptedServer;
let gateway: TestGateway;

beforeAll(async () => {
  everything = await startEverythingServer({ era: "legacy" });
  scripted = await startScriptedServer();
  gateway = await startTestGateway({
    mcpServers: { all: { url: everything.url }, up: { url: scripted.url, trusted: true } },
    plugins: [{ name: "retry", config: { baseMs: 1_000, maxMs: 1_000, jitter: "none" } }],
    limits: { streamsPerUser: 3, streamBufferBytes: 65_536, bodyBytes: 65_536 },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await Promise.all([everything.close(), scripted.close()]);
});

const call = (name: string, more: object = {}) => ({
  method: "tools/call",
  params: { name, arguments: {}, ...more },
});
const sessions = () => gateway.core.sessions.size;

describe("the transport of 2024-11-05", () => {
  it("begins with an endpoint event; messages are accepted with 202 and answered by message events", async () => {
    await using client = await openEvents(gateway);
    expect(client.response.headers["content-type"]).toBe("text/event-stream");
    expect(client.endpoint).toMatch(/^\/messages\?sessionId=[\w-]{32}$/);
    const posted = await client.post({ jsonrpc: "2.0", ...hello({ elicitation: {} }, "2024-11-05") });
    expect(posted).toMatchObject({ status: 202, body: "" });
    const opened = await client.find(({ id }) => id === "hello");
    expect(opened.result).toMatchObject({
      protocolVersion: "2024-11-05",
      serverInfo: { name: "gatewright" },
    });
    expect((await client.post({ jsonrpc: "2.0", method: "notifications/initialized" })).status).toBe(202);
    const { result } = await client.ask({ id: 1, method: "tools/list" });
    expect(result.tools.map((tool: { name: string }) => tool.name)).toContain("up_read");
    expect(client.events).toEqual(["endpoint", "message", "message"]);
  });

  it("has questions, progress and news on the one stream, under the session that streamable HTTP has too", async () => {
    const before = sessions();
    await using client = await openEvents(gateway);
    await client.ask(hello({ elicitation: {} }));
    expect(sessions()).toBe(before + 1);
    const asking = call("all_test_elicitation", { arguments: { message: "Who?" } });
    await client.post({ jsonrpc: "2.0", id: 7, ...asking });
    const question = await client.find(({ method }) => method === "elicitation/create");
    const content = { username: "ada", email: "ada@example.org" };
    await client.post({ jsonrpc: "2.0", id: question.id, result: { action: "accept", content } });
    expect(JSON.stringify(await client.find(({ id }) => id === 7))).toContain("ada");
    await client.ask({ id: 8, ...call("all_test_tool_with_progress", { _meta: { progressToken: "p" } }) });
    const progress = client.messages.filter(({ method }) => method === "notifications/progress");
    expect(progress).toHaveLength(3);
    await client.ask({ id: 9, ...call("all_test_trigger_tool_change") });
    await client.find(({ method }) => method === "notifications/tools/list_changed");
  });

  it("is served for one server too, and below the path under which clients see the gateway", async () => {
    const id = await gateway.idOf("all");
    await using client = await openEvents(gateway, `/servers/${id}/sse`);
    expect(client.endpoint).toMatch(new RegExp(`^/servers/${id}/messages\\?sessionId=`));
    const opened = await client.ask(hello());
    expect(opened.result.serverInfo.name).not.toBe("gatewright");
    await using below = await startTestGateway({ server: { advertiseUrl: "http://127.0.0.1/gw/" } });
    await using other = await openEvents(below);
    expect(other.endpoint).toMatch(/^\/gw\/messages\?sessionId=/);
  });

  it("keeps the sessions of others apart", async () => {
    await using client = await openEvents(gateway);
    const token = await gateway.mint({ user: "mallory" });
    const ping = { jsonrpc: "2.0", id: 1, method: "ping" };
    const foreign = await client.post(ping, { authorization: `Bearer ${token}` });
    expect(foreign).toMatchObject({ status: 403, body: { id: 1, error: { code: -31005 } } });
    const id = await gateway.idOf("all");
    const query = client.endpoint.slice(client.endpoint.indexOf("?"));
    expect((await gateway.rpc(`/servers/${id}/messages${query}`, ping)).status).toBe(404);
    expect(client.messages).toEqual([]);
  });

  it.each([
    ["no JSON", "{", 400, -32700, null],
    ["a batch", '[{"jsonrpc":"2.0","id":1,"method":"ping"}]', 400, -32600, null],
    ["no jsonrpc member", '{"id":"a","method":"ping"}', 400, -32600, "a"],
    ["too long", `{"jsonrpc":"2.0","id":1,"method":"${"x".repeat(70_000)}"}`, 413, -31000, null],
  ])("refuses what cannot be read: %s", async (_name, text, status, code, id) => {
    await using client = await openEvents(gateway);
    const refused = await client.post(text);
    expect(refused).toMatchObject({ status, body: { jsonrpc: "2.0", id } });
    if (status === 400) expect(refused.body.error.code).toBe(code);
    expect(client.messages).toEqual([]);
  });

  it.each([
    ["GET", "/messages?sessionId=x", 405],
    ["POST", "/sse", 405],
    ["POST", "/messages", 400],
    ["POST", "/messages?sessionId=unknown", 404],
  ])("refuses %s %s with %i", async (method, path, status) => {
    const body = method === "POST" ? { jsonrpc: "2.0", id: 1, method: "ping" } : undefined;
    const refused = await gateway.rest(method, path, body);
    expect(refused).toMatchObject({ status, body: { jsonrpc: "2.0", error: { code: expect.any(Number) } } });
    if (status === 405) expect(refused.headers.get("allow")).toBe(method === "GET" ? "POST" : "GET");
  });

  it.each(["/sse", "/messages?sessionId=x"])("checks token, Origin and Host at %s", async (path) => {
    const method = path === "/sse" ? "GET" : "POST";
    const send = (headers: Record<string, string>) => fetch(`${gateway.url}${path}`, { method, headers });
    const bare = await send({});
    expect(bare.status).toBe(401);
    expect(bare.headers.get("www-authenticate")).toContain("resource_metadata=");
    const authorization = `Bearer ${gateway.token}`;
    expect((await send({ authorization, origin: "https://evil.example" })).status).toBe(403);
  });

  it("refuses one stream too many of a user with 503 and Retry-After, and leaves no session behind", async () => {
    const before = sessions();
    const token = await gateway.mint({ user: "greedy" });
    await using _a = await openEvents(gateway, "/sse", { token });
    await using _b = await openEvents(gateway, "/sse", { token });
    await using _c = await openEvents(gateway, "/sse", { token });
    const refused = await gateway.rest("GET", "/sse", undefined, token);
    expect(refused).toMatchObject({ status: 503, body: { error: { data: { code: "overloaded" } } } });
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(sessions()).toBe(before + 3);
  });
});

describe("a client whose stream closes", () => {
  it("has no session any more", async () => {
    const before = sessions();
    const client = await openEvents(gateway);
    await client.ask(hello());
    await client[Symbol.asyncDispose]();
    await eventually(() => sessions() === before);
    expect((await client.post({ jsonrpc: "2.0", id: 1, method: "ping" })).status).toBe(404);
  });

  it("does not cancel its calls: they go on, repeats included, and then its session ends", async () => {
    const before = sessions();
    const client = await openEvents(gateway);
    await client.ask(hello());
    const calls = () => scripted.seen("tools/call").length;
    const made = calls();
    scripted.script("tools/call", { status: 503 }, { result: {} });
    await client.post({ jsonrpc: "2.0", id: 1, ...call("up_read") });
    await eventually(() => gateway.core.calls.retries.stats().waiting === 1);
    await client[Symbol.asyncDispose]();
    await eventually(() => calls() === made + 2);
    await eventually(() => sessions() === before);
  });

  it("can cancel a call before", async () => {
    await using client = await openEvents(gateway);
    await client.ask(hello());
    const made = scripted.seen("tools/call").length;
    scripted.script("tools/call", () => undefined, { result: {} });
    await client.post({ jsonrpc: "2.0", id: 1, ...call("up_read") });
    await eventually(() => scripted.seen("tools/call").length === made + 1);
    await client.post({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } });
    await eventually(() => scripted.seen("tools/call")[made]?.aborted === true);
    expect(client.messages.map(({ id }) => id)).toEqual(["hello"]);
  });
});

describe("a stream", () => {
  it("is cut when its client reads too slowly, and one long message is no reason", async () => {
    await using client = await openEvents(gateway);
    scripted.script("tools/call", {
      result: { content: [{ type: "text", text: "x".repeat(8_000_000) }] },
    });
    const whole = await client.ask({ id: 1, ...call("up_read") });
    expect(whole.result.content[0].text).toHaveLength(8_000_000);
    client.response.pause();
    let id = 2;
    await eventually(async () => {
      await client.post({ jsonrpc: "2.0", id: id++, ...call("up_read") });
      return client.ended() || sessions() === 0;
    });
    scripted.script("tools/call", { result: {} });
  });

  it("gets comments while nothing happens", async () => {
    await using quick = await startTestGateway({ limits: { channelPingMs: 100 } });
    await using client = await openEvents(quick);
    let text = "";
    client.response.on("data", (chunk: Buffer) => {
      text += chunk;
    });
    await eventually(() => text.includes(": \n\n"));
    expect(client.events).toEqual(["endpoint"]);
  });
});

describe("a gateway that stops", () => {
  it("ends idle streams at once and asks their clients to come back, busy ones once they are answered", async () => {
    const stopping = await startTestGateway({ mcpServers: { up: { url: scripted.url } } });
    await stopping.core.refresher.ready();
    await using idle = await openEvents(stopping);
    await using busy = await openEvents(stopping);
    await busy.ask(hello());
    const held: (() => void)[] = [];
    scripted.script("tools/call", (_response, send) => void held.push(() => send({ content: [] })));
    await busy.post({ jsonrpc: "2.0", id: 1, ...call("up_read") });
    await eventually(() => held.length === 1);
    let text = "";
    idle.response.on("data", (chunk: Buffer) => {
      text += chunk;
    });
    const stopped = stopping[Symbol.asyncDispose]();
    await eventually(() => idle.ended());
    expect(text).toBe("retry: 1000\n\n");
    expect(busy.ended()).toBe(false);
    held[0]?.();
    await busy.find(({ id }) => id === 1);
    await eventually(() => busy.ended());
    await stopped;
  });
});
