import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import {
  type Fixture,
  fixtureCommand,
  startCounterServer,
  startEverythingServer,
  startLegacySdkServer,
} from "@gatewright/mcp-fixtures";
import { describe, expect, it } from "vitest";
import { META } from "../src/index.ts";
import {
  createHttpUpstream,
  createStdioUpstream,
  type Upstream,
  type UpstreamMessage,
} from "../src/upstream/index.ts";
import { eventually } from "./support/children.ts";
import { CLIENT } from "./support/raw-server.ts";

/** Tools, a text, an error and the messages that come before an answer. */
async function exercise(upstream: Upstream, era: "legacy" | "modern") {
  const seen: UpstreamMessage[] = [];
  const session = await upstream.open(CLIENT);
  expect(session.era).toBe(era);
  const list = await session.request({ method: "tools/list", params: "{}" });
  const { tools } = list.value() as { tools: { name: string }[] };
  expect(tools.map((tool) => tool.name)).toContain("test_simple_text");
  const text = await session.request({
    method: "tools/call",
    params: '{"name":"test_simple_text","arguments":{}}',
  });
  expect(text.value()).toMatchObject({ content: [{ type: "text" }] });
  const progress = '{"name":"test_tool_with_progress","arguments":{},"_meta":{"progressToken":"tok"}}';
  const answer = await session.request(
    { method: "tools/call", params: progress },
    { onMessage: (message) => seen.push(message) },
  );
  expect(answer.kind).toBe("result");
  expect(seen.map((message) => message.params?.["progressToken"])).toEqual(["tok", "tok", "tok"]);
  const missing = await session.request({ method: "no/such/method", params: "{}" });
  expect(missing).toMatchObject({ kind: "error" });
  expect(missing.value()["code"]).toBe(-32601);
  await session.close();
}

describe("servers on the official SDK", () => {
  it.each(["dual", "modern", "legacy"] as const)("the everything server, %s, over HTTP", async (era) => {
    await using server: Fixture = await startEverythingServer({ era });
    const upstream = createHttpUpstream({ url: server.url });
    await exercise(upstream, era === "legacy" ? "legacy" : "modern");
    await upstream.close();
    expect(server.stats().sessionsClosed).toBe(server.stats().sessionsOpened);
  });

  it("the everything server over stdio", async () => {
    const upstream = createStdioUpstream(fixtureCommand("everything-stdio"));
    await exercise(upstream, "modern");
    await upstream.close();
  });

  it("a server on the 1.x line of the SDK", async () => {
    await using server = await startLegacySdkServer();
    const upstream = createHttpUpstream({ url: server.url });
    const session = await upstream.open(CLIENT);
    expect(session.era).toBe("legacy");
    expect((await session.request({ method: "tools/list" })).kind).toBe("result");
    await upstream.close();
  });

  it("the public server-everything over stdio asks for roots on its own", async () => {
    const require = createRequire(import.meta.url);
    const folder = dirname(require.resolve("@modelcontextprotocol/server-everything/package.json"));
    const upstream = createStdioUpstream({
      command: process.execPath,
      args: [join(folder, "dist/index.js"), "stdio"],
    });
    const asked: string[] = [];
    const session = await upstream.open({
      clientInfo: CLIENT.clientInfo,
      capabilities: { roots: {} },
      onMessage: (message) => asked.push(message.method),
    });
    expect(session.era).toBe("legacy");
    const echo = await session.request({
      method: "tools/call",
      params: '{"name":"echo","arguments":{"message":"hi"}}',
    });
    expect(echo.value()).toEqual({ content: [{ type: "text", text: "Echo: hi" }] });
    await eventually(() => asked.includes("roots/list"));
    await upstream.close();
  });

  it("an elicitation of a legacy server reaches the call that caused it", async () => {
    await using server = await startEverythingServer({ era: "legacy" });
    const upstream = createHttpUpstream({ url: server.url });
    const session = await upstream.open({
      clientInfo: CLIENT.clientInfo,
      capabilities: { elicitation: { form: {} } },
    });
    const answer = await session.request(
      { method: "tools/call", params: '{"name":"test_elicitation","arguments":{"message":"name?"}}' },
      {
        onMessage: (message) => {
          if (message.kind !== "request") return;
          const result = '{"action":"accept","content":{"username":"u","email":"u@x"}}';
          void session.respond({ idText: JSON.stringify(message.id), result });
        },
      },
    );
    expect(JSON.stringify(answer.value())).toContain("accept");
    await upstream.close();
  });

  it("a subscription of a modern server is acknowledged, delivers, and ends with its signal", async () => {
    await using server = await startEverythingServer({ era: "modern" });
    const upstream = createHttpUpstream({ url: server.url });
    const session = await upstream.open(CLIENT);
    const controller = new AbortController();
    const seen: UpstreamMessage[] = [];
    const listening = session
      .request(
        { method: "subscriptions/listen", params: '{"notifications":{"toolsListChanged":true}}' },
        { timeoutMs: 0, signal: controller.signal, onMessage: (message) => seen.push(message) },
      )
      .catch((error: unknown) => error);
    await eventually(() => seen.length === 1);
    expect(seen[0]?.method).toBe("notifications/subscriptions/acknowledged");
    await session.request({
      method: "tools/call",
      params: '{"name":"test_trigger_tool_change","arguments":{}}',
    });
    await eventually(() => seen.length > 1);
    expect(seen[1]).toMatchObject({ method: "notifications/tools/list_changed" });
    expect(seen[1]?.params?.["_meta"]).toHaveProperty([META.subscriptionId]);
    controller.abort();
    expect(await listening).toMatchObject({ code: "aborted" });
    await upstream.close();
  });

  it("two sessions of one upstream keep their state apart", async () => {
    await using server = await startCounterServer();
    const upstream = createHttpUpstream({ url: server.url, era: "legacy" });
    const [a, b] = await Promise.all([upstream.open(CLIENT), upstream.open(CLIENT)]);
    const tools = (await a.request({ method: "tools/list" })).value() as { tools: { name: string }[] };
    expect(tools.tools.length).toBeGreaterThan(0);
    expect(a.sessionId).not.toBe(b.sessionId);
    await upstream.close();
    expect(server.stats()).toMatchObject({ sessionsOpened: 2, sessionsClosed: 2 });
  });
});
