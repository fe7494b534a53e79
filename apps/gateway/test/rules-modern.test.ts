import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRaw } from "./support/raw-client.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { modernParams } from "./support/socket-client.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let server: ScriptedServer;
let gateway: TestGateway;
let path: string;

beforeAll(async () => {
  server = await startScriptedServer();
  gateway = await startTestGateway({ mcpServers: { up: { url: server.url } } });
  await gateway.core.refresher.ready();
  path = `/servers/${await gateway.idOf("up")}/mcp`;
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await server.close();
});

const call = (name = "read", more: object = {}) => ({
  jsonrpc: "2.0",
  id: 7,
  method: "tools/call",
  params: { ...modernParams({ name, arguments: {} }), ...more },
});
const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "read" };
const without = (name: keyof typeof headers) => {
  const { [name]: _, ...rest } = headers;
  return rest;
};

describe("the headers of a request of 2026-07-28", () => {
  it.each([
    ["MCP-Protocol-Version missing", without("mcp-protocol-version"), -32020],
    [
      "MCP-Protocol-Version of another revision",
      { ...headers, "mcp-protocol-version": "2025-11-25" },
      -32020,
    ],
    ["Mcp-Method missing", without("mcp-method"), -32020],
    ["Mcp-Method of another method", { ...headers, "mcp-method": "tools/list" }, -32020],
    ["Mcp-Method in another case", { ...headers, "mcp-method": "Tools/call" }, -32020],
    ["Mcp-Name missing", without("mcp-name"), -32020],
    ["Mcp-Name of another tool", { ...headers, "mcp-name": "write" }, -32020],
    ["Mcp-Name in broken base64", { ...headers, "mcp-name": "=?base64?%%%?=" }, -32020],
    ["Mcp-Name in base64 of another tool", { ...headers, "mcp-name": "=?base64?d3JpdGU=?=" }, -32020],
  ])("are refused by 400 and their number, and nothing is called: %s", async (_name, given, code) => {
    const before = server.seen("tools/call").length;
    const refused = await gateway.rpc(path, call(), given);
    expect(refused).toMatchObject({ status: 400, body: { jsonrpc: "2.0", id: 7, error: { code } } });
    expect(server.seen("tools/call").length).toBe(before);
  });

  it("are accepted plain and in base64, and sent on as the body says", async () => {
    const plain = await gateway.rpc(path, call(), headers);
    expect(plain).toMatchObject({ status: 200, body: { id: 7, result: { resultType: "complete" } } });
    const encoded = await gateway.rpc(path, call(), { ...headers, "mcp-name": "=?base64?cmVhZA==?=" });
    expect(encoded.status).toBe(200);
    expect(server.seen("tools/call").at(-1)?.headers).toMatchObject({
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": "tools/call",
      "mcp-name": "read",
    });
  });

  it("of a name beyond ASCII are mirrored in base64", async () => {
    const name = "wörk";
    const encoded = `=?base64?${Buffer.from(name).toString("base64")}?=`;
    expect((await gateway.rpc(path, call(name), { ...headers, "mcp-name": encoded })).status).toBe(200);
    expect(server.seen("tools/call").at(-1)?.headers["mcp-name"]).toBe(encoded);
  });

  it("Mcp-Param-* go on", async () => {
    await gateway.rpc(path, call(), { ...headers, "mcp-param-region": "eu" });
    expect(server.seen("tools/call").at(-1)?.headers["mcp-param-region"]).toBe("eu");
  });
});

describe("the envelope of a request", () => {
  const bare = { jsonrpc: "2.0", id: 7, method: "tools/call", params: { name: "read", arguments: {} } };
  const key = "io.modelcontextprotocol/protocolVersion";

  it("that is missing under a header of 2026-07-28 is −32602", async () => {
    const refused = await gateway.rpc(path, bare, headers);
    expect(refused).toMatchObject({ status: 400, body: { id: 7, error: { code: -32602 } } });
    expect(JSON.stringify(refused.body.error.data)).toContain(key);
  });

  it("of an unknown revision is −32022, with those that are served", async () => {
    const _meta = { ...(modernParams()["_meta"] as object), [key]: "2099-01-01" };
    const given = { ...headers, "mcp-protocol-version": "2099-01-01" };
    const refused = await gateway.rpc(path, call("read", { _meta }), given);
    expect(refused).toMatchObject({ status: 400, body: { id: 7, error: { code: -32022 } } });
    expect(refused.body.error.data.supported).toContain("2026-07-28");
  });

  it("goes on byte for byte, trace context included", async () => {
    const _meta = {
      ...(modernParams()["_meta"] as object),
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "example.org/own": { deep: [1.5, null] },
    };
    await gateway.rpc(path, call("read", { _meta }), headers);
    expect(server.seen("tools/call").at(-1)?.params._meta).toMatchObject(_meta);
  });
});

describe("a request of 2026-07-28", () => {
  it("needs POST: GET and DELETE are 405", async () => {
    for (const method of ["GET", "DELETE"]) {
      const answer = await openRaw(gateway, path, {
        method,
        headers: { "mcp-protocol-version": "2026-07-28" },
      });
      expect(answer.status).toBe(405);
      expect(answer.headers.allow).toBe("POST");
    }
  });

  it("gets the type of its result though the server leaves it out, and the rest as it came", async () => {
    server.script("tools/call", (response) => {
      const { id } = server.seen("tools/call").at(-1) ?? {};
      response.setHeader("content-type", "application/json");
      response.end(`{"jsonrpc":"2.0","result":{"content":[],"big":12345678901234567890},"id":${id}}`);
    });
    const text = await fetch(`${gateway.url}${path}`, {
      method: "POST",
      headers: {
        ...headers,
        authorization: `Bearer ${gateway.token}`,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
      },
      body: JSON.stringify(call()),
    }).then((answer) => answer.text());
    server.script("tools/call", { result: { content: [{ type: "text", text: "done" }] } });
    expect(text).toBe(
      '{"jsonrpc":"2.0","result":{"resultType":"complete","content":[],"big":12345678901234567890},"id":7}',
    );
  });

  it("hears of the upstream's log what it asked for, even of an upstream that says more", async () => {
    const log = (level: string) =>
      `data: ${JSON.stringify({ jsonrpc: "2.0", method: "notifications/message", params: { level, data: level } })}\n\n`;
    server.script("tools/call", (response) => {
      const { id } = server.seen("tools/call").at(-1) ?? {};
      response.setHeader("content-type", "text/event-stream");
      response.write(log("debug") + log("error"));
      response.end(`data: {"jsonrpc":"2.0","id":${id},"result":{"resultType":"complete","content":[]}}\n\n`);
    });
    const heard = async (logLevel?: string) => {
      const _meta = {
        ...(modernParams()["_meta"] as object),
        ...(logLevel && { "io.modelcontextprotocol/logLevel": logLevel }),
      };
      const { body } = await gateway.rpc(path, call("read", { _meta }), headers);
      return String(body).split("notifications/message").length - 1;
    };
    expect([await heard(), await heard("warning"), await heard("debug")]).toEqual([0, 1, 2]);
    server.script("tools/call", { result: { content: [{ type: "text", text: "done" }] } });
  });

  it("neither needs nor gets a session id", async () => {
    const answer = await gateway.rpc(path, call(), { ...headers, "mcp-session-id": "anything" });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("mcp-session-id")).toBeNull();
  });

  it("of an unknown method, or one that was removed, is 404 and −32601", async () => {
    for (const method of ["resources/unknown", "logging/setLevel", "ping"]) {
      server.script(method, (response) => {
        response.writeHead(404, { "content-type": "application/json" });
        const { id } = server.seen(method).at(-1) ?? {};
        response.end(
          JSON.stringify({ jsonrpc: "2.0", id, error: { code: -32601, message: "Method not found" } }),
        );
      });
      const body = { jsonrpc: "2.0", id: 7, method, params: modernParams() };
      const refused = await gateway.rpc(path, body, { ...without("mcp-name"), "mcp-method": method });
      expect(refused).toMatchObject({ status: 404, body: { id: 7, error: { code: -32601 } } });
    }
  });

  it("is accepted with 202 when it is a notification", async () => {
    const body = { jsonrpc: "2.0", method: "notifications/x", params: modernParams() };
    const accepted = await gateway.rpc(path, body, { "mcp-protocol-version": "2026-07-28" });
    expect(accepted).toMatchObject({ status: 202, body: "" });
  });

  it("may not be a response", async () => {
    const body = { jsonrpc: "2.0", id: 1, result: {} };
    const refused = await gateway.rpc(path, body, { "mcp-protocol-version": "2026-07-28" });
    expect(refused).toMatchObject({ status: 400, body: { error: { code: -32600 } } });
  });

  it("is cancelled upstream when its client closes the stream of its answer", async () => {
    const before = server.seen("tools/call").length;
    server.script("tools/call", (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const progress = {
        jsonrpc: "2.0",
        method: "notifications/message",
        params: { level: "info", data: "x" },
      };
      response.write(`event: message\ndata: ${JSON.stringify(progress)}\n\n`);
    });
    const _meta = {
      ...(modernParams()["_meta"] as object),
      "io.modelcontextprotocol/logLevel": "info",
    };
    const stream = await openRaw(gateway, path, { body: call("read", { _meta }), headers });
    expect(stream.headers).toMatchObject({ "content-type": "text/event-stream", "x-accel-buffering": "no" });
    await eventually(() => stream.events.length === 1);
    stream.cut();
    await eventually(() => server.seen("tools/call")[before]?.aborted === true);
    server.script("tools/call", { result: { content: [] } });
  });
});
