import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { eventually } from "@gatewright/testkit";
import { expect, it, onTestFinished } from "vitest";
import { Outboxes } from "../src/downstream/outbox.ts";
import { HeldMessages } from "../src/http/held-messages.ts";
import { openEvents } from "./support/events-client.ts";
import { openSession } from "./support/replica-set.ts";
import { startScriptedServer } from "./support/scripted-server.ts";
import { hello, openSocket } from "./support/socket-client.ts";
import { startTestGateway } from "./support/test-gateway.ts";

/** A server with sessions that takes notifications, and does not acknowledge them before it is told to. */
async function startSilentServer() {
  const waiting: ServerResponse[] = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { id, method } = request.method === "POST" ? JSON.parse(text) : {};
    if (method === undefined) return void response.writeHead(405).end();
    if (method === "notifications/initialized") return void response.writeHead(202).end();
    if (id === undefined) return void waiting.push(response);
    const results: Record<string, object> = {
      initialize: {
        protocolVersion: "2025-11-25",
        capabilities: { tools: {} },
        serverInfo: { name: "silent", version: "1" },
      },
      "tools/list": { tools: [{ name: "read", inputSchema: { type: "object" } }] },
    };
    const answer =
      method === "server/discover"
        ? { error: { code: -32601, message: "unknown" } }
        : { result: results[method] ?? { content: [] } };
    response.writeHead(200, { "content-type": "application/json", "mcp-session-id": "s" });
    response.end(JSON.stringify({ jsonrpc: "2.0", id, ...answer }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    /** Notifications that wait. */
    waiting,
    acknowledge: () => {
      for (const response of waiting.splice(0)) response.writeHead(202).end();
    },
  };
}

const changed = { jsonrpc: "2.0", method: "notifications/roots/list_changed" };
const call = { method: "tools/call", params: { name: "up_read", arguments: {} } };
/** As many notifications of a session as wait behind the one that its upstream is told, and as many as an upstream is told at once. */
const waitingToo = 256;
const atOnce = 16;

it("notifications that an upstream does not take are bounded, however many a WebSocket sends, and hold up nothing", async () => {
  const [silent, healthy] = [await startSilentServer(), await startSilentServer()];
  await using gateway = await startTestGateway({
    mcpServers: { up: { url: silent.url }, well: { url: healthy.url } },
  });
  await gateway.core.refresher.ready();
  await using client = await openSocket(gateway);
  await client.ask(hello());
  for (const name of ["up_read", "well_read"]) {
    await client.ask({ id: name, ...call, params: { name, arguments: {} } });
  }
  for (let n = 0; n < 600; n++) client.send({ ...changed, params: { n } });
  expect(await client.ask({ id: 3, ...call })).toMatchObject({ result: { content: [] } });
  const drain = (server: typeof silent, before = 0) => {
    let taken = before;
    return eventually(
      () => {
        taken += server.waiting.length;
        server.acknowledge();
        return taken === waitingToo + 1;
      },
      { intervalMs: 0 },
    );
  };
  await eventually(() => silent.waiting.length === 1);
  // One that takes its time gets all that had room, the other's silence notwithstanding.
  await drain(healthy);
  expect(silent.waiting.length).toBe(1);
  await drain(silent);
  // Those beyond were dropped; later ones are passed on again.
  client.send(changed);
  await eventually(() => silent.waiting.length > 0);
});

it("a burst that an upstream takes in time reaches it whole", async () => {
  const quick = await startSilentServer();
  await using gateway = await startTestGateway({ mcpServers: { up: { url: quick.url } } });
  await gateway.core.refresher.ready();
  await using client = await openSocket(gateway);
  await client.ask(hello());
  await client.ask({ id: 2, ...call });
  for (let n = 0; n < 100; n++) client.send({ ...changed, params: { n } });
  let taken = 0;
  await eventually(
    () => {
      taken += quick.waiting.length;
      quick.acknowledge();
      return taken === 100;
    },
    { intervalMs: 0 },
  );
});

it("a cancellation is heard in any burst", async () => {
  await using upstream = await startScriptedServer();
  await using gateway = await startTestGateway({
    mcpServers: { up: { url: upstream.url } },
    limits: { callsPerChannel: 2 },
  });
  await gateway.core.refresher.ready();
  await using client = await openSocket(gateway);
  await client.ask(hello());
  upstream.script("tools/call", () => undefined);
  client.send({ jsonrpc: "2.0", id: 5, ...call });
  await eventually(() => upstream.seen("tools/call").length === 1);
  for (let n = 0; n < 3_000; n++) client.send(changed);
  client.send({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 5 } });
  await eventually(() => upstream.seen("tools/call")[0]?.aborted === true);
});

it("over HTTP+SSE they are bounded alike, and over streamable HTTP, where a client is told so and waits for no silent upstream", async () => {
  const silent = await startSilentServer();
  await using gateway = await startTestGateway({ mcpServers: { up: { url: silent.url } } });
  await gateway.core.refresher.ready();
  await using events = await openEvents(gateway);
  await events.ask(hello());
  await events.ask({ id: 2, ...call });
  await Promise.all(Array.from({ length: 30 }, () => events.post(changed)));
  await events.ask({ id: 3, ...call });
  expect(silent.waiting.length).toBe(1);

  const session = await openSession(gateway, "/mcp");
  await session.request(gateway, call.method, call.params);
  const headers = { "mcp-session-id": session.id, "mcp-protocol-version": "2025-11-25" };
  const note = (n: number) => gateway.rpc("/mcp", { ...changed, params: { n } }, headers);
  const posts = Array.from({ length: waitingToo + 2 }, (_, n) => note(n));
  const refused = await Promise.race(posts);
  expect(refused.status).toBe(503);
  expect(refused.headers.get("retry-after")).toBe("1");
  expect(refused.body.error.data).toMatchObject({ code: "overloaded", retryable: true });
  // A cancellation is for the gateway, and heard all the same; the others are taken though the upstream says nothing.
  const cancelled = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 99 } };
  expect((await gateway.rpc("/mcp", cancelled, headers)).status).toBe(202);
  expect((await Promise.all(posts)).filter(({ status }) => status === 202)).toHaveLength(waitingToo + 1);
  expect(silent.waiting.length).toBe(2);
});

it("however many sessions tell a silent upstream something, calls find a connection to it", async () => {
  const silent = await startSilentServer();
  await using gateway = await startTestGateway({
    mcpServers: { up: { url: silent.url } },
    bridge: { connectionsPerUpstream: atOnce + 2 },
  });
  await gateway.core.refresher.ready();
  for (let n = 0; n < atOnce + 8; n++) {
    const session = await openSession(gateway, "/mcp");
    await session.request(gateway, call.method, call.params);
    const headers = { "mcp-session-id": session.id, "mcp-protocol-version": "2025-11-25" };
    void gateway.rpc("/mcp", changed, headers).catch(() => undefined);
  }
  await eventually(() => silent.waiting.length === atOnce);
  const last = await openSession(gateway, "/mcp");
  expect((await last.request(gateway, call.method, call.params)).status).toBe(200);
  expect(silent.waiting.length).toBe(atOnce);
});

it("what waits for upstreams is bounded in bytes, by user, and given back", async () => {
  const outboxes = new Outboxes();
  const { promise, resolve } = Promise.withResolvers<void>();
  const silent = { notify: () => promise };
  const params = JSON.stringify({ text: "x".repeat(100_000) });
  const box = (user: string) => outboxes.create(user, "up", silent);
  const mine = Array.from({ length: 20 }, () => box("ann").notify({ method: "a", params }));
  expect(() => box("ann").notify({ method: "a", params })).toThrow("of yours");
  const theirs = box("bob").notify({ method: "a", params });
  expect(outboxes.held.bytes).toBeGreaterThan(2_100_000);
  resolve();
  await Promise.all([...mine, theirs]);
  expect(outboxes.held.bytes).toBe(0);
});

it("long messages of calls whose clients have left are bounded by user, and in all", async () => {
  await using upstream = await startScriptedServer();
  await using gateway = await startTestGateway({
    mcpServers: { up: { url: upstream.url } },
    limits: { messageBytes: 400_000, messageBytesPerUser: 250_000 },
  });
  await gateway.core.refresher.ready();
  const answers: (() => void)[] = [];
  upstream.script("tools/call", (_, send) => answers.push(() => send({ content: [] })));
  const session = await openSession(gateway, "/mcp");
  const headers = { "mcp-session-id": session.id, "mcp-protocol-version": "2025-11-25" };
  let id = 100;
  const long = () => {
    const params = { ...call.params, arguments: { text: "x".repeat(100_000) } };
    return { jsonrpc: "2.0", id: ++id, method: call.method, params };
  };
  for (let sent = 1; sent <= 2; sent++) {
    const leaving = new AbortController();
    const posted = fetch(`${gateway.url}/mcp`, {
      method: "POST",
      headers: {
        ...headers,
        authorization: `Bearer ${gateway.token}`,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
      },
      body: JSON.stringify(long()),
      signal: leaving.signal,
    });
    await eventually(() => answers.length === sent);
    leaving.abort();
    await expect(posted).rejects.toThrow();
  }
  const refused = await gateway.rpc("/mcp", long(), headers);
  expect([refused.status, refused.body.error.data.code]).toEqual([503, "overloaded"]);
  expect(refused.body.error.message).toContain("of yours");
  // An answer makes room, and is taken however long.
  const answer = { jsonrpc: "2.0", id: "unknown", result: { text: "x".repeat(100_000) } };
  expect((await gateway.rpc("/mcp", answer, headers)).status).toBe(202);
  // Short ones, and other users', are served; until there is too much in all.
  const ping = { jsonrpc: "2.0", id: ++id, method: "ping" };
  expect((await gateway.rpc("/mcp", ping, headers)).status).toBe(200);
  const other = { authorization: `Bearer ${await gateway.mint({ user: "other" })}` };
  const theirs = gateway.rpc("/mcp/http", long(), other);
  await eventually(() => answers.length === 3);
  const third = { authorization: `Bearer ${await gateway.mint({ user: "third" })}` };
  const full = await gateway.rpc("/mcp/http", long(), third);
  expect(full.body.error.message).toContain("of all");
  for (const answer of answers.splice(0)) answer();
  expect((await theirs).status).toBe(200);
  await eventually(async () => {
    const again = gateway.rpc("/mcp", long(), headers);
    await Promise.race([again, eventually(() => answers.length > 0)]);
    for (const answer of answers.splice(0)) answer();
    return (await again).status === 200;
  });
});

it("one long message is let in however long; what is read and what is served have room of their own; everything is given back", () => {
  const held = new HeldMessages({ messageBytes: 65_536, messageBytesPerUser: 65_536 });
  const first = held.meter("a");
  for (const length of [16_384, 500_000, 1_000_000]) first.read(length);
  expect(() => held.meter("a").read(20_000)).toThrow("of yours");
  expect(() => held.meter("b").read(20_000)).toThrow("of all");
  held.meter("b").read(16_384);
  first.keep();
  expect(held.bytes).toBe(1_000_000);
  const next = held.meter("a");
  next.read(60_000);
  expect(() => next.keep()).toThrow("of yours");
  expect(held.bytes).toBe(1_060_000);
  first.release();
  next.keep();
  next.release();
  next.release();
  expect(held.bytes).toBe(0);
});
