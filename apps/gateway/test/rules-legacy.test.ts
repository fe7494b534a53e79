import { startEverythingServer } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRaw } from "./support/raw-client.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let everything: Awaited<ReturnType<typeof startEverythingServer>>;
let gateway: TestGateway;

beforeAll(async () => {
  everything = await startEverythingServer({ era: "legacy" });
  gateway = await startTestGateway({ mcpServers: { all: { url: everything.url } } });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await everything.close();
});

const ping = { jsonrpc: "2.0", id: 1, method: "ping" };

async function open(protocolVersion: string, path = "/mcp", capabilities: object = {}) {
  const params = { protocolVersion, capabilities, clientInfo: { name: "t", version: "1" } };
  const opened = await gateway.rpc(path, { jsonrpc: "2.0", id: 0, method: "initialize", params });
  const id = opened.headers.get("mcp-session-id") ?? "";
  const negotiated: string = opened.body.result.protocolVersion;
  return { id, negotiated, headers: { "mcp-session-id": id, "mcp-protocol-version": negotiated } };
}

describe("a client with a session", () => {
  it.each([
    ["2024-11-05", "2024-11-05"],
    ["2025-03-26", "2025-03-26"],
    ["2025-06-18", "2025-06-18"],
    ["2025-11-25", "2025-11-25"],
    ["1999-01-01", "2025-11-25"],
  ])("that asks for %s gets %s", async (asked, answered) => {
    expect((await open(asked)).negotiated).toBe(answered);
  });

  it("has an id that cannot be guessed, visible ASCII, another one each time", async () => {
    const ids = new Set<string>();
    for (let count = 0; count < 20; count++) ids.add((await open("2025-11-25")).id);
    expect(ids.size).toBe(20);
    for (const id of ids) expect(id).toMatch(/^[\x21-\x7e]{32,}$/);
  });

  it.each(["POST", "GET", "DELETE"])(
    "without its id is refused by 400, with an unknown one by 404: %s",
    async (method) => {
      const body = method === "POST" ? ping : undefined;
      const bare = await openRaw(gateway, "/mcp", { method, body });
      expect(bare.status).toBe(400);
      const unknown = await openRaw(gateway, "/mcp", {
        method,
        body,
        headers: { "mcp-session-id": "unknown" },
      });
      expect(unknown.status).toBe(404);
    },
  );

  it("without a version is taken for 2025-03-26; with an unknown one it is refused by 400", async () => {
    const { id } = await open("2025-06-18");
    expect((await gateway.rpc("/mcp", ping, { "mcp-session-id": id })).body).toMatchObject({ result: {} });
    const refused = await gateway.rpc("/mcp", ping, {
      "mcp-session-id": id,
      "mcp-protocol-version": "2025-01-01",
    });
    expect(refused).toMatchObject({ status: 400, body: { id: 1, error: { code: -32600 } } });
  });

  it("is told 202 for what has no answer", async () => {
    const { headers } = await open("2025-11-25");
    const initialized = { jsonrpc: "2.0", method: "notifications/initialized" };
    expect(await gateway.rpc("/mcp", initialized, headers)).toMatchObject({ status: 202, body: "" });
    const answer = { jsonrpc: "2.0", id: "nobody-asked", result: {} };
    expect(await gateway.rpc("/mcp", answer, headers)).toMatchObject({ status: 202, body: "" });
  });

  it("has its ping answered here, also at an endpoint of one server", async () => {
    const path = `/servers/${await gateway.idOf("all")}/mcp`;
    const { headers } = await open("2025-11-25", path);
    const before = everything.stats().requests["ping"] ?? 0;
    expect((await gateway.rpc(path, ping, headers)).body).toEqual({ jsonrpc: "2.0", id: 1, result: {} });
    expect(everything.stats().requests["ping"] ?? 0).toBe(before);
  });

  it("ends with DELETE, and is nobody else's", async () => {
    const { headers } = await open("2025-11-25");
    const authorization = `Bearer ${await gateway.mint({ user: "mallory" })}`;
    for (const method of ["POST", "GET", "DELETE"]) {
      const body = method === "POST" ? ping : undefined;
      const foreign = await openRaw(gateway, "/mcp", {
        method,
        body,
        headers: { ...headers, authorization },
      });
      expect(foreign.status).toBe(403);
    }
    const ended = await openRaw(gateway, "/mcp", { method: "DELETE", headers });
    expect(ended.status).toBe(204);
    expect((await gateway.rpc("/mcp", ping, headers)).status).toBe(404);
  });

  it("of one endpoint is unknown at another", async () => {
    const { headers } = await open("2025-11-25");
    const path = `/servers/${await gateway.idOf("all")}/mcp`;
    expect((await gateway.rpc(path, ping, headers)).status).toBe(404);
  });

  it("is not cancelled by a disconnect, but by its notification", async () => {
    const { headers } = await open("2025-11-25", "/mcp", { elicitation: {} });
    const call = (id: number) => ({
      jsonrpc: "2.0",
      id,
      method: "tools/call",
      params: { name: "all_test_elicitation", arguments: { message: "Who?" } },
    });
    const session = gateway.core.sessions.peek(headers["mcp-session-id"]);
    const cut = await openRaw(gateway, "/mcp", { body: call(1), headers });
    await eventually(() => cut.events.some(({ data }) => data?.method === "elicitation/create"));
    cut.cut();
    const kept = await openRaw(gateway, "/mcp", { body: call(2), headers });
    await eventually(() => kept.events.some(({ data }) => data?.method === "elicitation/create"));
    expect(session?.calls.has("1")).toBe(true);
    for (const requestId of [1, 2]) {
      await gateway.rpc(
        "/mcp",
        { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId } },
        headers,
      );
    }
    await eventually(() => session?.calls.size === 0 && kept.ended);
    expect(kept.events.filter(({ data }) => data?.id === 2)).toEqual([]);
  });
});

describe("plain JSON-RPC on /mcp/http", () => {
  it.each(["application/json", "text/event-stream", "text/html", "*/*;q=0"])(
    "is answered by JSON though Accept says %s: results, errors, and calls that tell their progress",
    async (accept) => {
      const params = { name: "all_test_tool_with_progress", arguments: {}, _meta: { progressToken: 1 } };
      for (const request of [
        { method: "tools/list" },
        { method: "tools/call", params },
        { method: "no/such" },
        { method: "initialize", params: { protocolVersion: "2025-11-25" } },
      ]) {
        const answer = await gateway.rpc("/mcp/http", { jsonrpc: "2.0", id: "i", ...request }, { accept });
        expect(answer.headers.get("content-type"), request.method).toBe("application/json");
        expect(answer.body).toMatchObject({ jsonrpc: "2.0", id: "i" });
      }
    },
  );
});

describe("a batch", () => {
  const echo = { name: "all_test_simple_text", arguments: {} };
  const batch = [
    { jsonrpc: "2.0", id: "a", method: "tools/call", params: echo },
    { jsonrpc: "2.0", method: "notifications/roots/list_changed" },
    { jsonrpc: "2.0", id: 2, method: "unknown/method" },
    { jsonrpc: "2.0", id: 3, method: "ping" },
  ];

  it("of 2025-03-26 is served, its answers as one array under their ids", async () => {
    const { headers } = await open("2025-03-26");
    const answered = await gateway.rpc("/mcp", batch, { ...headers, accept: "application/json" });
    expect(answered.status).toBe(200);
    expect(answered.body).toMatchObject([
      { jsonrpc: "2.0", id: "a", result: { content: [{ type: "text" }] } },
      { jsonrpc: "2.0", id: 2, error: { code: -32601 } },
      { jsonrpc: "2.0", id: 3, result: {} },
    ]);
    const oneWay = [{ jsonrpc: "2.0", method: "notifications/initialized" }];
    expect(await gateway.rpc("/mcp", oneWay, headers)).toMatchObject({ status: 202, body: "" });
  });

  it("with progress comes as a stream, the array as its last event", async () => {
    const { headers } = await open("2025-03-26");
    const params = { name: "all_test_tool_with_progress", arguments: {}, _meta: { progressToken: "p" } };
    const body = [{ jsonrpc: "2.0", id: 1, method: "tools/call", params }];
    const call = await openRaw(gateway, "/mcp", { body, headers });
    await eventually(() => call.ended);
    const data = call.events.map((event) => event.data);
    expect(data.filter((message) => message.method === "notifications/progress")).toHaveLength(3);
    expect(data.at(-1)).toMatchObject([{ jsonrpc: "2.0", id: 1, result: {} }]);
  });

  it.each(["2025-06-18", "2025-11-25"])("of %s is refused", async (version) => {
    const { headers, id } = await open(version);
    expect(await gateway.rpc("/mcp", batch, headers)).toMatchObject({
      status: 400,
      body: { jsonrpc: "2.0", id: null, error: { code: -32600 } },
    });
    // The session's revision counts, not what a header leaves open.
    expect((await gateway.rpc("/mcp", batch, { "mcp-session-id": id })).status).toBe(400);
  });

  it("with a handshake in it, without a session, or empty is refused", async () => {
    const { headers } = await open("2025-03-26");
    const hello = [
      { jsonrpc: "2.0", id: 1, method: "initialize", params: { protocolVersion: "2025-03-26" } },
    ];
    expect((await gateway.rpc("/mcp", hello, headers)).body).toMatchObject({
      id: null,
      error: { code: -32600 },
    });
    expect((await gateway.rpc("/mcp", batch)).status).toBe(400);
    expect((await gateway.rpc("/mcp", [], headers)).body).toMatchObject({ error: { code: -32600 } });
  });

  it("without a handshake is served on /mcp/http, which takes whoever names no revision for 2025-03-26", async () => {
    const answered = await gateway.rpc("/mcp/http", batch);
    expect([answered.status, answered.headers.get("content-type")]).toEqual([200, "application/json"]);
    expect(answered.body).toMatchObject([
      { jsonrpc: "2.0", id: "a", result: { content: [{ type: "text" }] } },
      { jsonrpc: "2.0", id: 2, error: { code: -32601 } },
      { jsonrpc: "2.0", id: 3, result: {} },
    ]);
    const hello = [{ jsonrpc: "2.0", id: 1, method: "initialize", params: {} }];
    expect((await gateway.rpc("/mcp/http", hello)).body).toMatchObject({ id: null, error: { code: -32600 } });
    for (const version of ["2025-06-18", "2026-07-28"]) {
      const refused = await gateway.rpc("/mcp/http", batch, { "mcp-protocol-version": version });
      expect(refused.status, version).toBe(400);
    }
  });
});
