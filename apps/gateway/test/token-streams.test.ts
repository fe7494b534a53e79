import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newApiKey } from "../src/auth/api-keys.ts";
import { openEvents } from "./support/events-client.ts";
import { openModern } from "./support/modern-client.ts";
import { openRaw } from "./support/raw-client.ts";
import { acknowledgeAll, type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { openSocket } from "./support/socket-client.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

const { key, sha256 } = newApiKey();
let server: ScriptedServer;
let gateway: TestGateway;

beforeAll(async () => {
  server = await startScriptedServer();
  acknowledgeAll(server);
  gateway = await startTestGateway({
    mcpServers: { up: { url: server.url } },
    auth: { leewaySeconds: 0, apiKeys: [{ name: "robot", sha256 }] },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await server.close();
});

const open = () => [...gateway.core.channels.counts().values()].reduce((sum, count) => sum + count, 0);

/** Everything that can stay open for a client, in one of each. */
async function openAll(token: string) {
  const authorization = `Bearer ${token}`;
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } };
  const message = { jsonrpc: "2.0", id: 0, method: "initialize", params };
  const opened = await gateway.rpc("/mcp", message, { authorization });
  const headers = { authorization, "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
  const notifications = { toolsListChanged: true };
  const [listen, stream, events, socket] = await Promise.all([
    openModern(gateway, { path: "/mcp", method: "subscriptions/listen", params: { notifications }, token }),
    openRaw(gateway, "/mcp", { method: "GET", headers }),
    openEvents(gateway, "/sse", { token }),
    openSocket(gateway, "/ws", { token }),
  ]);
  return { listen, stream, events, socket };
}

async function expectEnded({ listen, stream, events, socket }: Awaited<ReturnType<typeof openAll>>) {
  expect(await socket.closed).toMatchObject({ code: 1008 });
  await eventually(() => listen.ended && stream.ended && events.ended());
  // In good order: with its result.
  expect(listen.events.at(-1)?.data).toMatchObject({ id: 1, result: { resultType: "complete" } });
}

describe("what is open for a client", () => {
  // Slow because tokens expire by the second.
  it("ends when its token runs out, and not before; what another token opened stays", async () => {
    const other = await openAll(gateway.token);
    const token = await gateway.mint({ expiresInSeconds: 3 });
    const mine = await openAll(token);
    expect((await gateway.rest("GET", "/tools", undefined, token)).status).toBe(200);
    expect(open()).toBe(8);
    await expectEnded(mine);
    expect((await gateway.rest("GET", "/tools", undefined, token)).status).toBe(401);
    await eventually(() => open() === 4);
    expect(other.socket.socket.readyState).toBe(other.socket.socket.OPEN);
    other.listen.cut();
    other.stream.cut();
    await other.events[Symbol.asyncDispose]();
    await other.socket[Symbol.asyncDispose]();
    await eventually(() => open() === 0);
  });

  it("ends when a change of the configuration takes its key away; what another token opened stays", async () => {
    await using other = await openSocket(gateway);
    const mine = await openAll(key);
    const { current } = gateway.core.liveConfig;
    await gateway.core.liveConfig.apply({ ...current, limits: { ...current.limits, callsPerChannel: 99 } });
    expect(await mine.socket.ask({ id: 1, method: "ping" })).toMatchObject({ id: 1, result: {} });
    expect(open()).toBe(5);
    await gateway.core.liveConfig.apply({ ...current, auth: { ...current.auth, apiKeys: [] } });
    await expectEnded(mine);
    await eventually(() => open() === 1);
    expect(await other.ask({ id: 1, method: "ping" })).toMatchObject({ id: 1, result: {} });
  });
});
