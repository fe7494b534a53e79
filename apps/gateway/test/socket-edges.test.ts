import { once } from "node:events";
import { request } from "node:http";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { hello, openSocket, refusedSocket } from "./support/socket-client.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let scripted: ScriptedServer;
let gateway: TestGateway;

beforeAll(async () => {
  scripted = await startScriptedServer();
  gateway = await startTestGateway({
    mcpServers: { up: { url: scripted.url } },
    auth: { leewaySeconds: 0 },
    limits: {
      bodyBytes: 65_536,
      jsonDepth: 16,
      streams: 4,
      streamsPerUser: 2,
      callsPerChannel: 2,
      streamBufferBytes: 65_536,
    },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await scripted.close();
});

const call = { method: "tools/call", params: { name: "up_read", arguments: {} } };
const open = () => [...gateway.core.channels.counts().values()].reduce((sum, count) => sum + count, 0);

describe("a message that cannot be served", () => {
  it.each([
    ["no JSON", "{", -32700, null],
    ["two values", '{"jsonrpc":"2.0","id":1,"method":"ping"} 1', -32700, 1],
    ["an empty frame", "", -32700, null],
    ["a value that is no message", "[1]", -32600, null],
    ["a batch", '[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, null],
    ["no jsonrpc member", '{"id":"a","method":"ping"}', -32600, "a"],
    ["an id that is null", '{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, null],
    ["an unknown revision", JSON.stringify(unknownRevision()), -32022, 5],
    ["too deep", `{"jsonrpc":"2.0","id":6,"method":"ping","params":${"[".repeat(40)}`, -32600, 6],
  ])("is answered, with its id where it has one, and the socket stays: %s", async (_name, text, code, id) => {
    await using client = await openSocket(gateway);
    client.send(text);
    const answer = await client.find(() => true);
    expect(answer).toMatchObject({ jsonrpc: "2.0", id, error: { code } });
    expect(answer.error.data).toMatchObject({ retryable: false, requestId: expect.any(String) });
    expect(await client.ask({ id: 9, method: "ping" })).toEqual({ jsonrpc: "2.0", id: 9, result: {} });
  });

  it("is answered when it came as a binary frame", async () => {
    await using client = await openSocket(gateway);
    client.socket.send(Buffer.from('{"jsonrpc":"2.0","id":1,"method":"ping"}'));
    expect(await client.find(() => true)).toMatchObject({ id: null, error: { code: -32700 } });
  });

  it("of an upstream that is no UTF-8 comes as every decoder reads it, and the socket stays", async () => {
    scripted.script("tools/call", (response) => {
      const { id } = scripted.seen("tools/call").at(-1) ?? {};
      const before = `{"jsonrpc":"2.0","id":${id},"result":{"resultType":"complete","content":[{"type":"text","text":"caf`;
      response.setHeader("content-type", "application/json");
      response.end(Buffer.concat([Buffer.from(before), Buffer.from([0xe9]), Buffer.from('"}]}}')]));
    });
    await using client = await openSocket(gateway);
    const answer = await client.ask({ id: 1, ...call });
    expect(answer.result.content[0].text).toBe("caf\u{fffd}");
    expect(await client.ask({ id: 2, method: "ping" })).toEqual({ jsonrpc: "2.0", id: 2, result: {} });
    scripted.script("tools/call", { result: { content: [] } });
  });

  it("gets no answer when it is a notification", async () => {
    await using client = await openSocket(gateway);
    client.send('{"jsonrpc":"2.0","method":"notifications/unknown"}');
    client.send('{"jsonrpc":"2.0","id":"nobody-asked","result":{}}');
    await client.ask({ id: 1, method: "ping" });
    expect(client.messages).toHaveLength(1);
  });

  it("ends the socket with 1009 when it is too long", async () => {
    await using client = await openSocket(gateway);
    client.send(`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"${"x".repeat(70_000)}"}}`);
    expect(await client.closed).toMatchObject({ code: 1009 });
  });

  it("is a second handshake, or an id that is in flight", async () => {
    await using client = await openSocket(gateway);
    await client.ask(hello());
    expect((await client.ask({ ...hello(), id: "again" })).error).toMatchObject({ code: -32600 });
    scripted.script("tools/call", () => undefined);
    const before = scripted.seen("tools/call").length;
    client.send({ jsonrpc: "2.0", id: 1, ...call });
    await eventually(() => scripted.seen("tools/call").length === before + 1);
    expect((await client.ask({ id: 1, ...call })).error).toMatchObject({ code: -32600 });
  });

  it("is one more request than may be in flight", async () => {
    await using client = await openSocket(gateway);
    scripted.script("tools/call", () => undefined);
    client.send({ jsonrpc: "2.0", id: 1, ...call });
    client.send({ jsonrpc: "2.0", id: 2, ...call });
    const refused = await client.ask({ id: 3, ...call });
    expect(refused.error).toMatchObject({ code: -31002, data: { code: "overloaded", retryable: true } });
  });
});

describe("a request to upgrade", () => {
  it.each([
    ["without a token", "/ws", { token: "" }, 401, -31005],
    ["with a token in the query", "/ws?access_token=x", { token: "" }, 401, -31005],
    ["with a wrong token", "/ws", { token: "nonsense" }, 401, -31005],
    ["from a foreign page", "/ws", { headers: { origin: "https://evil.example" } }, 403, -31005],
    ["to a foreign host", "/ws", { headers: { host: "evil.example" } }, 403, -31005],
    ["where nothing is", "/servers/none/ws", {}, 404, -32602],
    ["on a path of HTTP", "/mcp", {}, 404, -32602],
  ])("is refused by HTTP, in the form of JSON-RPC: %s", async (_name, path, options, status, code) => {
    const refused = await refusedSocket(gateway, path, options);
    expect(refused.status).toBe(status);
    expect(refused.headers["content-type"]).toBe("application/json");
    expect(refused.body).toMatchObject({ jsonrpc: "2.0", id: null, error: { code } });
    if (status === 401) expect(refused.headers["www-authenticate"]).toContain("resource_metadata=");
  });

  it("needs the scope mcp, and a token for that server", async () => {
    const id = await gateway.idOf("up");
    const admin = await gateway.mint({ scopes: ["admin"] });
    expect((await refusedSocket(gateway, "/ws", { token: admin })).status).toBe(403);
    const other = await gateway.mint({ servers: ["other"] });
    expect((await refusedSocket(gateway, `/servers/${id}/ws`, { token: other })).status).toBe(403);
  });

  it("is refused with Retry-After when a user, or everybody, has too many", async () => {
    await eventually(() => open() === 0);
    await using _one = await openSocket(gateway);
    await using _two = await openSocket(gateway);
    const mine = await refusedSocket(gateway);
    expect(mine).toMatchObject({ status: 503, body: { error: { data: { code: "overloaded" } } } });
    expect(mine.headers["retry-after"]).toBe("1");
    const token = await gateway.mint({ user: "other" });
    await using _three = await openSocket(gateway, "/ws", { token });
    const third = await gateway.mint({ user: "third" });
    await using _four = await openSocket(gateway, "/ws", { token: third });
    expect((await refusedSocket(gateway, "/ws", { token: third })).status).toBe(503);
    const { body } = await gateway.rest("GET", "/metrics");
    expect(body).toContain('gatewright_client_streams{kind="websocket"} 4');
  });

  it("to anything but a WebSocket is an ordinary request", async () => {
    const headers = {
      authorization: `Bearer ${gateway.token}`,
      "content-type": "application/json",
      connection: "Upgrade, HTTP2-Settings",
      upgrade: "h2c",
      "http2-settings": "AAMAAABkAARAAAAAAAIAAAAA",
    };
    const outgoing = request(`${gateway.url}/mcp/http`, { method: "POST", headers, agent: false });
    outgoing.end('{"jsonrpc":"2.0","id":1,"method":"ping"}');
    const [response] = await once(outgoing, "response");
    let text = "";
    for await (const chunk of response) text += chunk;
    expect(JSON.parse(text)).toEqual({ jsonrpc: "2.0", id: 1, result: {} });
  });

  it("with a broken key is refused in the form of JSON-RPC", async () => {
    const headers = {
      authorization: `Bearer ${gateway.token}`,
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "short",
    };
    const outgoing = request(`${gateway.url}/ws`, { headers, agent: false });
    outgoing.end();
    const [response] = await once(outgoing, "response");
    let text = "";
    for await (const chunk of response) text += chunk;
    expect(response.statusCode).toBe(400);
    expect(JSON.parse(text)).toMatchObject({ jsonrpc: "2.0", id: null, error: { code: -32600 } });
    await eventually(() => open() === 0);
  });

  it("is what a WebSocket path asks for", async () => {
    const got = await gateway.rest("GET", "/ws");
    expect(got).toMatchObject({ status: 400, body: { jsonrpc: "2.0", id: null, error: { code: -32600 } } });
    expect((await gateway.rpc("/ws", { jsonrpc: "2.0", id: 1, method: "ping" })).status).toBe(405);
  });
});

describe("a socket", () => {
  describe("whose client does not read", () => {
    const big = { result: { content: [{ type: "text", text: "x".repeat(8_000_000) }] } };

    async function unread() {
      const client = await openSocket(gateway);
      scripted.script("tools/call", big);
      client.socket.pause();
      for (const id of [1, 2, 3]) {
        const before = scripted.seen("tools/call").length;
        client.send({ jsonrpc: "2.0", id, ...call });
        await eventually(() => scripted.seen("tools/call")[before]?.answered === true);
      }
      return client;
    }

    it("is closed with 1013, which the client hears when it reads on", async () => {
      await using client = await unread();
      client.socket.resume();
      expect((await client.closed).code).toBe(1013);
      // What was sent before is whole.
      expect(client.messages.map(({ id }) => id)).toContain(1);
    });

    // Slow because the closing handshake has its time.
    it("is cut when the client never reads", async () => {
      await using _client = await unread();
      await eventually(() => open() === 0, { timeoutMs: 15_000 });
    });
  });

  // Slow because tokens expire by the second.
  it("is closed with 1008 once its token has expired, after the request is answered", async () => {
    const token = await gateway.mint({ expiresInSeconds: 2 });
    await using client = await openSocket(gateway, "/ws", { token });
    await eventually(async () => (await gateway.rest("GET", "/tools", undefined, token)).status === 401);
    client.send({ jsonrpc: "2.0", id: 1, method: "ping" });
    expect(await client.find(() => true)).toMatchObject({ id: 1, error: { code: -31005 } });
    expect(await client.closed).toMatchObject({ code: 1008 });
  });

  it("is cut when its client does not answer pings, and kept when it does", async () => {
    await using quick = await startTestGateway({ limits: { channelPingMs: 100 } });
    await using alive = await openSocket(quick);
    const dead = await openSocket(quick);
    dead.socket.pause();
    await eventually(() => quick.core.channels.counts().get("websocket") === 1);
    expect(alive.socket.readyState).toBe(alive.socket.OPEN);
    dead.socket.resume();
    expect((await dead.closed).code).toBe(1006);
  });
});

describe("a gateway that stops", () => {
  it("closes idle sockets with 1001 at once, busy ones once they are answered, and takes nothing new", async () => {
    const stopping = await startTestGateway({
      mcpServers: { up: { url: scripted.url } },
      server: { drainNoticeMs: 0 },
    });
    await stopping.core.refresher.ready();
    await using idle = await openSocket(stopping);
    await using busy = await openSocket(stopping);
    const held: (() => void)[] = [];
    scripted.script("tools/call", (_response, send) => void held.push(() => send({ content: [] })));
    busy.send({ jsonrpc: "2.0", id: 1, ...call });
    await eventually(() => held.length === 1);
    const stopped = stopping[Symbol.asyncDispose]();
    expect(await idle.closed).toMatchObject({ code: 1001 });
    expect((await busy.ask({ id: 2, ...call })).error.data).toMatchObject({ code: "overloaded" });
    held[0]?.();
    expect(await busy.find(({ id }) => id === 1)).toMatchObject({ result: { content: [] } });
    expect(await busy.closed).toMatchObject({ code: 1001 });
    await stopped;
  });

  it("ends a call that does not end by its deadline", async () => {
    const stopping = await startTestGateway({
      mcpServers: { up: { url: scripted.url } },
      server: { shutdownDeadlineMs: 200 },
    });
    await stopping.core.refresher.ready();
    await using busy = await openSocket(stopping);
    const before = scripted.seen("tools/call").length;
    scripted.script("tools/call", () => undefined);
    busy.send({ jsonrpc: "2.0", id: 1, ...call });
    await eventually(() => scripted.seen("tools/call").length === before + 1);
    await stopping[Symbol.asyncDispose]();
    expect(await busy.closed).toMatchObject({ code: 1001 });
  });
});

function unknownRevision() {
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": "2099-01-01",
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  return { jsonrpc: "2.0", id: 5, method: "tools/list", params: { _meta } };
}
