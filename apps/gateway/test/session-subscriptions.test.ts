import type { ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { encodeAcknowledged } from "@gatewright/mcp-bridge/bridge";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRaw } from "./support/raw-client.ts";
import { type ClientSession, openSession } from "./support/replica-set.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

/** A `subscriptions/listen` that the upstream has not acknowledged yet. */
interface Asked {
  readonly uris: readonly string[];
  readonly acknowledge: () => (message: object) => void;
}

let server: ScriptedServer;
let gateway: TestGateway;
let path: string;
const asked: Asked[] = [];

function take(response: ServerResponse): void {
  const { id, params } = server.seen("subscriptions/listen").at(-1) as never as {
    id: number;
    params: { notifications: { resourceSubscriptions?: readonly string[] } };
  };
  const acknowledge = () => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const write = (text: string) => void response.write(`data: ${text}\n\n`);
    write(encodeAcknowledged(String(id), params.notifications));
    return (message: object) => write(JSON.stringify({ jsonrpc: "2.0", ...message }));
  };
  asked.push({ uris: params.notifications.resourceSubscriptions ?? [], acknowledge });
}

beforeAll(async () => {
  server = await startScriptedServer();
  const capabilities = { tools: {}, resources: { subscribe: true } };
  server.script("server/discover", { result: { supportedVersions: ["2026-07-28"], capabilities } });
  server.script("subscriptions/listen", take);
  gateway = await startTestGateway({
    mcpServers: {
      up: { url: server.url },
      shared: { url: server.url, stateless: true, maxConcurrencyPerSession: 1, caps: { perKey: 1 } },
    },
  });
  await gateway.core.refresher.ready();
  path = `/servers/${await gateway.idOf("up")}/mcp`;
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await server.close();
});

const send = async (session: ClientSession, what: "subscribe" | "unsubscribe", uri: string) =>
  (await session.request(gateway, `resources/${what}`, { uri })).body;
const firstFor = async (uri: string): Promise<Asked> => {
  await eventually(() => asked.some(({ uris }) => uris.includes(uri)));
  return asked.find(({ uris }) => uris.includes(uri)) as Asked;
};

describe("subscriptions of a session to resources of an upstream without sessions", () => {
  const unsaid = { code: -31_003, data: { code: "upstream_timeout", retryable: true, retryAfterMs: 2_000 } };

  it("one that is begun again while the upstream is silent about the first is not ended with that", async () => {
    const uri = "res://again";
    const session = await openSession(gateway, path);
    const first = send(session, "subscribe", uri);
    const { acknowledge } = await firstFor(uri);
    expect((await send(session, "unsubscribe", uri)).result).toEqual({});
    // The second has time left when that of the first is over.
    await pause(1_000);
    const second = send(session, "subscribe", uri);
    expect((await first).error).toMatchObject(unsaid);
    const say = acknowledge();
    expect((await second).result).toEqual({});
    const headers = { "mcp-session-id": session.id, "mcp-protocol-version": "2025-11-25" };
    const stream = await openRaw(gateway, path, { method: "GET", headers });
    say({ method: "notifications/resources/updated", params: { uri } });
    await eventually(() => stream.events.some(({ data }) => data?.params?.uri === uri));
    stream.cut();
    await session.delete(gateway);
  });

  it("one that comes while the upstream is silent about another is to be asked for again, and taken then", async () => {
    const [one, other] = [await openSession(gateway, path), await openSession(gateway, path)];
    const silent = send(one, "subscribe", "res://silent");
    const { acknowledge } = await firstFor("res://silent");
    const newcomer = send(other, "subscribe", "res://newcomer");
    expect((await silent).error).toMatchObject(unsaid);
    expect((await newcomer).error).toMatchObject(unsaid);
    const again = send(other, "subscribe", "res://newcomer");
    acknowledge();
    (await firstFor("res://newcomer")).acknowledge();
    expect((await again).result).toEqual({});
    await Promise.all([one.delete(gateway), other.delete(gateway)]);
  });

  const left = { data: { code: "session_owner_unreachable", retryable: true } };

  it("one that is acknowledged when the session has left this replica is refused, and leaves nothing behind", async () => {
    const session = await openSession(gateway, path);
    const before = gateway.core.hub.stats().listeners;
    const answer = send(session, "subscribe", "res://late");
    const { acknowledge } = await firstFor("res://late");
    expect(gateway.core.hub.stats().listeners).toBe(before + 1);
    gateway.core.sessions.letGo(session.id);
    acknowledge();
    expect((await answer).error).toMatchObject(left);
    expect(gateway.core.hub.stats().listeners).toBe(before);
  });

  it("one that could not be begun before the session left this replica is not begun", async () => {
    const session = await openSession(gateway, "/mcp");
    const before = gateway.core.hub.stats().listeners;
    // All callers share one session of this upstream, one call at a time.
    const held = Promise.withResolvers<() => void>();
    server.script("tools/call", (_response, respond) => held.resolve(() => respond({ content: [] })));
    const call = session.request(gateway, "tools/call", { name: "shared_read", arguments: {} });
    const end = await held.promise;
    const answer = send(session, "subscribe", "shared+res://waiting");
    await eventually(() => gateway.core.pool.stats().queueDepth === 1);
    gateway.core.sessions.letGo(session.id);
    end();
    expect((await call).body.result).toEqual({ content: [], resultType: "complete" });
    expect((await answer).error).toMatchObject(left);
    expect(gateway.core.hub.stats().listeners).toBe(before);
  });
});
