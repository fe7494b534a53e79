import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modern, openModern } from "./support/modern-client.ts";
import { openRaw } from "./support/raw-client.ts";
import { acknowledgeAll, type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let server: ScriptedServer;
let gateway: TestGateway;

beforeAll(async () => {
  server = await startScriptedServer();
  acknowledgeAll(server);
  gateway = await startTestGateway({
    mcpServers: { up: { url: server.url } },
    limits: {
      streamAfterMs: 1,
      streamBufferBytes: 65_536,
      streamsPerUser: 2,
      streams: 3,
      downstreamSessions: 200,
    },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await server.close();
});

async function session(token = gateway.token): Promise<Record<string, string>> {
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } };
  const authorization = `Bearer ${token}`;
  const message = { jsonrpc: "2.0", id: 0, method: "initialize", params };
  const opened = await gateway.rpc("/mcp", message, { authorization });
  const id = opened.headers.get("mcp-session-id") ?? "";
  return { authorization, "mcp-session-id": id, "mcp-protocol-version": "2025-11-25" };
}

const listen = (headers: Record<string, string>) => openRaw(gateway, "/mcp", { method: "GET", headers });
const streams = () => [...gateway.core.channels.counts().values()].reduce((sum, count) => sum + count, 0);
const long = "x".repeat(8_000_000);

describe("sessions", () => {
  it("of one user too many are refused with 503 and Retry-After, and others still open theirs", async () => {
    const initialize = async (user: string) => {
      const params = {
        protocolVersion: "2025-11-25",
        capabilities: {},
        clientInfo: { name: "t", version: "1" },
      };
      const authorization = `Bearer ${await gateway.mint({ user })}`;
      return gateway.rpc("/mcp", { jsonrpc: "2.0", id: 0, method: "initialize", params }, { authorization });
    };
    const own = [];
    for (let count = 0; count <= 20; count++) own.push((await initialize("greedy")).status);
    expect(own).toEqual([...Array(20).fill(200), 503]);
    const refused = await initialize("greedy");
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(refused.body.error.data).toMatchObject({ code: "overloaded", retryable: true });
    expect((await initialize("modest")).status).toBe(200);
    const { current } = gateway.core.liveConfig;
    const limits = { ...current.limits, downstreamSessionsPerUser: 21 };
    await gateway.core.liveConfig.apply({ ...current, limits });
    expect([(await initialize("greedy")).status, (await initialize("greedy")).status]).toEqual([200, 503]);
  });
});

describe("an event stream", () => {
  it("brings an answer that is longer than what may be left unread", async () => {
    const held: (() => void)[] = [];
    const result = { content: [{ type: "text", text: long }] };
    server.script("tools/call", (_response, send) => void held.push(() => send(result)));
    const call = await openRaw(gateway, "/mcp", {
      body: { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "up_read", arguments: {} } },
      headers: await session(),
    });
    expect(call.headers["content-type"]).toBe("text/event-stream");
    await eventually(() => held.length === 1);
    held[0]?.();
    await eventually(() => call.ended);
    expect(call.events.at(-1)?.data.result.content[0].text).toHaveLength(long.length);
  });

  it("of one user too many, or of all, is refused with 503 and Retry-After; one that ends makes room", async () => {
    await eventually(() => streams() === 0);
    const own = [await listen(await session()), await listen(await session())];
    expect(own.map(({ status }) => status)).toEqual([200, 200]);
    const mine = await listen(await session());
    expect(mine.status).toBe(503);
    expect(mine.headers["retry-after"]).toBe("1");
    const other = await listen(await session(await gateway.mint({ user: "other" })));
    expect(other.status).toBe(200);
    expect((await listen(await session(await gateway.mint({ user: "third" })))).status).toBe(503);
    for (const stream of [...own, other]) stream.cut();
    await eventually(() => streams() === 0);
    const again = await listen(await session());
    expect(again.status).toBe(200);
    again.cut();
  });

  it("of a stateless client that listens counts like any other", async () => {
    await eventually(() => streams() === 0);
    const request = {
      path: "/mcp",
      method: "subscriptions/listen",
      params: { notifications: { toolsListChanged: true } },
    };
    const own = [await openModern(gateway, request), await listen(await session())];
    await eventually(() => streams() === 2);
    const { status, body } = await modern(gateway, request);
    expect([status, body.error.data.code]).toEqual([503, "overloaded"]);
    for (const stream of own) stream.cut();
    await eventually(() => streams() === 0);
  });

  it("of a stateless client may name as many resources as a session may subscribe to, and no more", async () => {
    await eventually(() => streams() === 0);
    const uris = (count: number, chars = 1) =>
      Array.from({ length: count }, (_, index) => `up+res://${index}${"x".repeat(chars)}`);
    for (const resourceSubscriptions of [uris(1_001), uris(10, 30_000)]) {
      const params = { notifications: { resourceSubscriptions } };
      const { status, body } = await modern(gateway, {
        path: "/mcp",
        method: "subscriptions/listen",
        params,
        id: 7,
      });
      expect([status, body.id, body.error.code]).toEqual([400, 7, -32_602]);
      expect(body.error.message).toContain("at most 1000 resources");
    }
    const params = { notifications: { resourceSubscriptions: uris(1_000) } };
    const stream = await openModern(gateway, { path: "/mcp", method: "subscriptions/listen", params });
    await eventually(() => stream.events.length > 0);
    expect(stream.events[0]?.data.method).toBe("notifications/subscriptions/acknowledged");
    stream.cut();
    await eventually(() => streams() === 0);
  });

  it("is cut when its client reads too slowly, and the session goes on", async () => {
    const headers = await session();
    const stream = await listen(headers);
    stream.pause();
    const own = gateway.core.sessions.peek(headers["mcp-session-id"] ?? "");
    const message = Buffer.from(
      JSON.stringify({ jsonrpc: "2.0", method: "notifications/x", params: { long } }),
    );
    await eventually(() => {
      own?.deliver(message);
      return own?.streaming === false;
    });
    const ping = await gateway.rpc("/mcp", { jsonrpc: "2.0", id: 1, method: "ping" }, headers);
    expect(ping.body).toEqual({ jsonrpc: "2.0", id: 1, result: {} });
  });
});
