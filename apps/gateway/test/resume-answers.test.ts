import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { eventually } from "@gatewright/testkit";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRaw } from "./support/raw-client.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let server: ScriptedServer;
let gateway: TestGateway;

beforeAll(async () => {
  server = await startScriptedServer();
  gateway = await startTestGateway({
    mcpServers: { up: { url: server.url, trusted: true } },
    plugins: [
      { name: "retry", config: { baseMs: 5_000, maxMs: 5_000, jitter: "none", overrides: { put: short } } },
    ],
    limits: { streamAfterMs: 50, eventLogBytes: 4_096 },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await server.close();
});

const short = { baseMs: 1_500, maxMs: 1_500 };
const busy = { status: 503 };
const text = (value: string) => ({ content: [{ type: "text", text: value }] });
/** A call that nobody waits for any more ends at once, not after its backoff. */
const wellBeforeRetry = { timeoutMs: 2_500 };
const waiting = () => gateway.core.calls.retries.stats().waiting;

const call = (name: string, id: unknown) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name: `up_${name}`, arguments: {} },
});

async function session(protocolVersion = "2025-11-25"): Promise<Record<string, string>> {
  const opened = await gateway.rpc("/mcp", {
    jsonrpc: "2.0",
    id: 0,
    method: "initialize",
    params: { protocolVersion, capabilities: {}, clientInfo: { name: "t", version: "1" } },
  });
  const id = opened.headers.get("mcp-session-id") ?? "";
  return { "mcp-session-id": id, "mcp-protocol-version": protocolVersion };
}

const resume = (headers: Record<string, string>, lastEventId: string) =>
  openRaw(gateway, "/mcp", { method: "GET", headers: { ...headers, "last-event-id": lastEventId } });

describe("a client that goes away during a backoff", () => {
  it("RB-8 of 5 s, without a session: no further upstream call, and nothing is kept", async () => {
    server.script("tools/call", busy);
    const before = server.seen("tools/call").length;
    const aborted = gateway.core.metrics.retry.giveUpsByReason()["aborted"] ?? 0;
    await openRaw(gateway, "/mcp/http", {
      body: call("read", 1),
      cutWhen: () => eventually(() => waiting() === 1),
    });
    await eventually(() => waiting() === 0, wellBeforeRetry);
    expect(server.seen("tools/call")).toHaveLength(before + 1);
    expect(gateway.core.metrics.retry.giveUpsByReason()["aborted"]).toBe(aborted + 1);
    expect(gateway.core.pool.stats().leases).toBe(0);
  });

  it("RB-8 modern: closing the stream of the answer ends the backoff", async () => {
    server.script("tools/call", busy);
    const before = server.seen("tools/call").length;
    const meta = {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": { name: "t", version: "1" },
      "io.modelcontextprotocol/clientCapabilities": {},
    };
    const path = `/servers/${await gateway.idOf("up")}/mcp`;
    await openRaw(gateway, path, {
      body: {
        jsonrpc: "2.0",
        id: 1,
        method: "tools/call",
        params: { name: "read", arguments: {}, _meta: meta },
      },
      headers: {
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "read",
      },
      cutWhen: () => eventually(() => waiting() === 1),
    });
    await eventually(() => waiting() === 0, wellBeforeRetry);
    expect(server.seen("tools/call")).toHaveLength(before + 1);
  });

  it("RB-8 legacy: the call goes on, and its answer is delivered on resumption", async () => {
    server.script("tools/call", busy, { result: text("kept for you") });
    const before = server.seen("tools/call").length;
    const headers = await session();
    const asked = await openRaw(gateway, "/mcp", { body: call("put", "mine"), headers });
    expect(asked.headers["content-type"]).toBe("text/event-stream");
    const first = await eventually(() => asked.events[0] ?? false);
    expect(first.data).toBeUndefined();
    await eventually(() => waiting() === 1);
    asked.cut();
    await eventually(() => server.seen("tools/call").length === before + 2);
    const resumed = await resume(headers, first.id ?? "");
    await eventually(() => resumed.ended);
    expect(resumed.events).toHaveLength(1);
    expect(resumed.events[0]?.data).toMatchObject({ id: "mine", result: text("kept for you") });
    // Once more: the answer stays until the log's bounds push it out.
    const again = await resume(headers, first.id ?? "");
    await eventually(() => again.ended);
    expect(again.events).toEqual(resumed.events);
    const behind = await resume(headers, again.events[0]?.id ?? "");
    await eventually(() => behind.ended);
    expect(behind.events).toEqual([]);
  });

  it("RB-8 legacy: a resumption before the answer is there waits for it", async () => {
    server.script("tools/call", busy, { result: text("in time") });
    const headers = await session();
    const asked = await openRaw(gateway, "/mcp", { body: call("put", 5), headers });
    const first = await eventually(() => asked.events[0] ?? false);
    asked.cut();
    const resumed = await resume(headers, first.id ?? "");
    expect(resumed.status).toBe(200);
    expect(resumed.ended).toBe(false);
    await eventually(() => resumed.ended);
    expect(resumed.events[0]?.data).toMatchObject({ id: 5, result: text("in time") });
  });

  it("RB-8 legacy: notifications/cancelled and DELETE do end the backoff", async () => {
    server.script("tools/call", busy);
    const headers = await session();
    const asked = await openRaw(gateway, "/mcp", { body: call("read", 9), headers });
    await eventually(() => waiting() === 1);
    asked.cut();
    const cancel = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 9 } };
    expect((await gateway.rpc("/mcp", cancel, headers)).status).toBe(202);
    await eventually(() => waiting() === 0, wellBeforeRetry);
    await openRaw(gateway, "/mcp", { body: call("read", 10), headers });
    await eventually(() => waiting() === 1);
    await openRaw(gateway, "/mcp", { method: "DELETE", headers });
    await eventually(() => waiting() === 0, wellBeforeRetry);
  });

  it("RB-8 legacy: the official client whose connection is cut gets its answer by itself", async () => {
    server.script("tools/call", busy, { result: text("for the official client") });
    const sockets = new Set<Socket>();
    const target = Number(new URL(gateway.url).port);
    const proxy = createServer((socket) => {
      const onward = connect(target, "127.0.0.1");
      sockets.add(socket);
      socket.pipe(onward).pipe(socket);
      for (const each of [socket, onward]) each.on("error", () => undefined);
      socket.on("close", () => onward.destroy());
      onward.on("close", () => socket.destroy());
    }).listen(0, "127.0.0.1");
    await once(proxy, "listening");
    const client = new Client({ name: "cut", version: "1" });
    const { port } = proxy.address() as AddressInfo;
    const transport = new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`), {
      requestInit: { headers: { authorization: `Bearer ${gateway.token}`, host: new URL(gateway.url).host } },
    });
    await client.connect(transport);
    let sawFirstEvent = false;
    const pending = client.callTool({ name: "up_put", arguments: {} }, {
      onresumptiontoken: () => {
        sawFirstEvent = true;
      },
    } as never);
    await eventually(() => sawFirstEvent);
    for (const socket of sockets) socket.destroy();
    expect(await pending).toMatchObject(text("for the official client"));
    await client.close();
    proxy.close();
    for (const socket of sockets) socket.destroy();
  });
});

describe("resumption", () => {
  it("of an unknown event is refused, and an answer that is no longer kept is an error, not silence", async () => {
    const headers = await session();
    for (const id of ["77-1", "nonsense"]) expect((await resume(headers, id)).status).toBe(400);
    server.script("tools/call", (_, send) => void setTimeout(send, 120, text("x".repeat(5_000))));
    const asked = await openRaw(gateway, "/mcp", { body: call("put", 3), headers });
    const first = await eventually(() => asked.events[0] ?? false);
    await eventually(() => asked.ended);
    expect(asked.events).toHaveLength(2);
    const late = await resume(headers, first.id ?? "");
    await eventually(() => late.ended);
    expect(late.events[0]?.data).toMatchObject({
      id: 3,
      error: { code: -31004, data: { code: "outcome_unknown" } },
    });
  });

  it("messages before the answer have ids too: a client that comes back sees what it missed, once", async () => {
    let go: (() => void) | undefined;
    server.script("tools/call", (response) => {
      const event = (message: object) => `data: ${JSON.stringify({ jsonrpc: "2.0", ...message })}\n\n`;
      const note = (data: string) =>
        event({ method: "notifications/message", params: { level: "info", data } });
      const { id } = server.seen("tools/call").at(-1) ?? { id: 0 };
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(note("one"));
      go = () => response.end(note("two") + event({ id, result: text("all") }));
    });
    const headers = await session();
    const asked = await openRaw(gateway, "/mcp", { body: call("put", 8), headers });
    const seen = await eventually(() => asked.events[1] ?? false);
    expect(seen.data.params.data).toBe("one");
    asked.cut();
    await eventually(() => gateway.core.sessions.size > 0 && go !== undefined);
    const resumed = await resume(headers, seen.id ?? "");
    go?.();
    await eventually(() => resumed.ended);
    expect(resumed.events.map(({ data }) => data.params?.data ?? data.id)).toEqual(["two", 8]);
  });

  it("is not for modern clients: their stream has no ids", async () => {
    server.script("tools/call", (response) => {
      const { id } = server.seen("tools/call").at(-1) ?? { id: 0 };
      const note = {
        jsonrpc: "2.0",
        method: "notifications/message",
        params: { level: "info", data: "one" },
      };
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`data: ${JSON.stringify(note)}\n\n`);
      const result = { ...text("all"), resultType: "complete" };
      response.end(`data: ${JSON.stringify({ jsonrpc: "2.0", id, result })}\n\n`);
    });
    const _meta = {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": { name: "t", version: "1" },
      "io.modelcontextprotocol/clientCapabilities": {},
      // Without it the message would not be passed on, and the answer needed no stream.
      "io.modelcontextprotocol/logLevel": "info",
    };
    const asked = await openRaw(gateway, `/servers/${await gateway.idOf("up")}/mcp`, {
      body: { jsonrpc: "2.0", id: 6, method: "tools/call", params: { name: "put", arguments: {}, _meta } },
      headers: { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "put" },
    });
    await eventually(() => asked.ended);
    expect(asked.events.map(({ id }) => id)).toEqual([undefined, undefined]);
    expect(asked.events[1]?.data).toMatchObject({ id: 6, result: text("all") });
  });

  it("of another user's session is refused", async () => {
    const headers = await session();
    const foreign = await gateway.mint({ user: "mallory" });
    const refused = await openRaw(gateway, "/mcp", {
      method: "GET",
      headers: { ...headers, "last-event-id": "0-0", authorization: `Bearer ${foreign}` },
    });
    expect(refused.status).toBe(403);
  });

  it("a client of an older revision gets an id without data, which its reader skips", async () => {
    server.script("tools/call", (_, send) => void setTimeout(send, 120, text("old")));
    const headers = await session("2025-06-18");
    const asked = await openRaw(gateway, "/mcp", { body: call("put", 4), headers });
    await eventually(() => asked.ended);
    expect(asked.events.at(-1)).toMatchObject({ id: expect.stringMatching(/-1$/), data: { id: 4 } });
  });

  it("a fast answer stays plain JSON, and a slow error is an event too", async () => {
    server.script("tools/call", { result: text("fast") });
    const headers = await session();
    const fast = await gateway.rpc("/mcp", call("put", 1), headers);
    expect(fast.headers.get("content-type")).toBe("application/json");
    server.script("tools/call", (response) => void setTimeout(() => response.writeHead(400).end(), 120));
    const slow = await openRaw(gateway, "/mcp", { body: call("put", 2), headers });
    await eventually(() => slow.ended);
    expect(slow.events[1]?.data).toMatchObject({ id: 2, error: { code: expect.any(Number) } });
  });
});
