import { createServer, type ServerResponse } from "node:http";
import { eventually, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listenOnLoopback } from "./support/listen-on-loopback.ts";
import { openRaw } from "./support/raw-client.ts";
import { openSession, startReplicaSet } from "./support/replica-set.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

/** A server with sessions that tells each of what it subscribed to, and that can forget them all. */
async function startForgetfulServer() {
  const sessions = new Map<string, { uris: Set<string>; stream: ServerResponse | undefined }>();
  const asked: string[] = [];
  let opened = 0;
  let slow: { readonly uri: string; readonly until: Promise<unknown> } | undefined;
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { id, method, params } = JSON.parse(text || "{}");
    const json = (outcome: object, status = 200, headers = {}) => {
      response.writeHead(status, { "content-type": "application/json", ...headers });
      response.end(JSON.stringify({ jsonrpc: "2.0", id, ...outcome }));
    };
    if (method === "server/discover") return json({ error: { code: -32601, message: "no" } }, 400);
    if (method === "initialize") {
      const name = `s${++opened}`;
      sessions.set(name, { uris: new Set(), stream: undefined });
      const capabilities = { tools: {}, resources: { subscribe: true } };
      const serverInfo = { name: "forgetful", version: "1" };
      const result = { protocolVersion: params.protocolVersion, capabilities, serverInfo };
      return json({ result }, 200, { "mcp-session-id": name });
    }
    const session = sessions.get(String(request.headers["mcp-session-id"]));
    if (session === undefined) return response.writeHead(404).end();
    if (request.method === "DELETE") {
      session.stream?.destroy();
      sessions.delete(String(request.headers["mcp-session-id"]));
      return response.writeHead(204).end();
    }
    if (request.method === "GET") {
      response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      session.stream = response;
      return;
    }
    if (id === undefined) return response.writeHead(202).end();
    asked.push(`${method} ${params?.uri}`);
    if (method === "resources/subscribe") {
      if (params.uri === slow?.uri) await slow?.until;
      session.uris.add(params.uri);
    }
    if (method === "resources/unsubscribe") session.uris.delete(params.uri);
    if (method === "tools/list") return json({ result: { tools: [] } });
    if (method === "tools/call") return json({ result: { content: [] } });
    if (method === "resources/subscribe" && params.uri === "res://refused") {
      session.uris.delete(params.uri);
      return json({ error: { code: -32002, message: "no such resource" } });
    }
    return json({ result: {} });
  });
  const listening = await listenOnLoopback(server);
  return {
    ...listening,
    url: `${listening.origin}/mcp`,
    /** What is subscribed to, in all sessions together. */
    subscribed: () => [...sessions.values()].flatMap(({ uris }) => [...uris]),
    asked: (method: string, uri: string) => asked.filter((each) => each === `${method} ${uri}`).length,
    /** Answers subscriptions to this one only then. */
    hold: (uri: string, until: Promise<unknown>) => {
      slow = { uri, until };
    },
    forget: () => {
      for (const { stream } of sessions.values()) stream?.destroy();
      sessions.clear();
    },
    update: (uri: string) => {
      const message = { jsonrpc: "2.0", method: "notifications/resources/updated", params: { uri } };
      for (const { uris, stream } of sessions.values()) {
        if (uris.has(uri)) stream?.write(`data: ${JSON.stringify(message)}\n\n`);
      }
    },
  };
}

type Forgetful = Awaited<ReturnType<typeof startForgetfulServer>>;

let server: Forgetful;
let gateway: TestGateway;

beforeAll(async () => {
  server = await startForgetfulServer();
  gateway = await startTestGateway({ mcpServers: { up: { url: server.url } } });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await server.close();
});

describe("what a client subscribed to in its own session with an upstream, which forgot that session", () => {
  it.each([
    { where: "the upstream's own endpoint", plain: true },
    { where: "an endpoint of several upstreams", plain: false },
  ])("is subscribed to again, and told as changed: $where", async ({ plain }) => {
    const path = plain ? `/servers/${await gateway.idOf("up")}/mcp` : "/mcp";
    const exposed = (uri: string) => (plain ? uri : `up+${uri}`);
    const session = await openSession(gateway, path);
    const headers = { "mcp-session-id": session.id, "mcp-protocol-version": "2025-11-25" };
    const stream = await openRaw(gateway, path, { method: "GET", headers });
    const ask = async (what: string, uri: string) =>
      (await session.request(gateway, `resources/${what}`, { uri: exposed(uri) })).body;
    const call = async () =>
      (await session.request(gateway, "tools/call", { name: plain ? "x" : "up_x", arguments: {} })).body;
    for (const uri of ["res://kept", "res://given up"])
      expect((await ask("subscribe", uri)).result).toEqual({});
    expect((await ask("subscribe", "res://refused")).error.code).toBe(-32002);
    expect((await ask("unsubscribe", "res://given up")).result).toEqual({});
    expect(server.subscribed()).toEqual(["res://kept"]);

    server.forget();
    await eventually(async () => (await call()).result !== undefined);
    const heard = () => stream.events.flatMap(({ data }) => (data === undefined ? [] : [data.params?.uri]));
    await eventually(() => heard().includes(exposed("res://kept")));
    expect(server.subscribed()).toEqual(["res://kept"]);
    const before = heard().length;
    await eventually(() => {
      server.update("res://kept");
      return heard().length > before;
    });
    expect(new Set(heard())).toEqual(new Set([exposed("res://kept")]));
    expect(await session.delete(gateway)).toBe(204);
  });

  it("stays given up where the client gives it up meanwhile, and one that is not answered holds up no other", async () => {
    const path = `/servers/${await gateway.idOf("up")}/mcp`;
    const session = await openSession(gateway, path);
    const headers = { "mcp-session-id": session.id, "mcp-protocol-version": "2025-11-25" };
    const stream = await openRaw(gateway, path, { method: "GET", headers });
    const ask = async (what: string, uri: string) =>
      (await session.request(gateway, `resources/${what}`, { uri })).body;
    for (const uri of ["res://held", "res://first", "res://given up"]) {
      expect((await ask("subscribe", uri)).result).toEqual({});
    }
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    server.hold("res://held", answered);
    server.forget();
    // The client's first request is what opens the session anew.
    await eventually(async () => (await ask("unsubscribe", "res://given up")).result !== undefined);
    await eventually(() => server.subscribed().includes("res://first"));
    expect((await ask("unsubscribe", "res://held")).result).toEqual({});
    answer();
    await eventually(() => server.asked("resources/unsubscribe", "res://held") === 2);
    await eventually(() => server.subscribed().join() === "res://first");
    const heard = stream.events.map(({ data }) => data?.params?.uri);
    expect(heard.filter((uri) => uri === "res://held")).toEqual([]);
    expect(await session.delete(gateway)).toBe(204);
  });

  it("is known to the replica that goes on with the client's session", async () => {
    await using redis = await startRedis();
    await using set = await startReplicaSet(redis, 1);
    const id = await set.register({ name: "up", url: server.url });
    const path = `/servers/${id}/mcp`;
    const [first] = set.replicas as [TestGateway];
    const owner = await set.add();
    const session = await openSession(owner, path);
    const request = (at: TestGateway, method: string, params: object) => session.request(at, method, params);
    expect((await request(owner, "resources/subscribe", { uri: "res://taken" })).body.result).toEqual({});
    await owner.close();
    const call = async () => (await request(first, "tools/call", { name: "x", arguments: {} })).body;
    await eventually(async () => (await call()).result !== undefined);
    server.forget();
    await eventually(async () => (await call()).result !== undefined);
    await eventually(() => server.subscribed().includes("res://taken"));
  });
});
