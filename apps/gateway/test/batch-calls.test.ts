import { request } from "node:http";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type LegacyCall, startLegacyServer } from "./support/legacy-server.ts";
import { openRaw } from "./support/raw-client.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let server: ScriptedServer;
let gateway: TestGateway;

beforeAll(async () => {
  server = await startScriptedServer();
  gateway = await startTestGateway({ mcpServers: { up: { url: server.url } } });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await server.close();
});

const call = (id: number) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name: "up_read", arguments: {} },
});

describe("a batch without a session", () => {
  it("is cancelled when its client goes", async () => {
    server.script("tools/call", () => undefined);
    const outgoing = request(`${gateway.url}/mcp/http`, {
      method: "POST",
      headers: { authorization: `Bearer ${gateway.token}`, "content-type": "application/json" },
    });
    outgoing.on("error", () => undefined);
    outgoing.end(JSON.stringify([call(1), call(2)]));
    await eventually(() => server.seen("tools/call").length === 2);
    outgoing.destroy();
    await eventually(() => server.seen("tools/call").every(({ aborted }) => aborted));
  });

  it("keeps an answer that is no JSON from breaking the others", async () => {
    let calls = 0;
    server.script("tools/call", (response, send) => {
      if (calls++ === 0) return send({ content: [] });
      const { id } = server.seen("tools/call").at(-1) ?? {};
      response.setHeader("content-type", "application/json");
      response.end(`{"jsonrpc":"2.0","id":${id},"result":{"content":[}`);
    });
    const { status, body } = await gateway.rpc("/mcp/http", [call(1), call(2)]);
    expect(status).toBe(200);
    expect(body.map(({ id }: { id: number }) => id)).toEqual([1, 2]);
    const broken = body.find((answer: { error?: unknown }) => answer.error !== undefined);
    expect(broken.error).toMatchObject({
      code: -31_002,
      data: { code: "upstream_unreachable", retryable: false },
    });
    expect(body.filter((answer: { result?: unknown }) => answer.result !== undefined)).toHaveLength(1);
  });
});

describe("an answer that the upstream which asked does not take", () => {
  it("costs no other message of its batch its own, and is no failure of the gateway", async () => {
    let executed = 0;
    const asking: LegacyCall[] = [];
    await using deaf = await startLegacyServer(
      {
        ask: (call) => {
          asking.push(call);
          call.say({ id: "q", method: "roots/list" });
        },
        act: ({ answer }) => {
          executed++;
          answer();
        },
      },
      { tools: {} },
      ({ method }) => {
        if (method !== undefined) return 202;
        asking.pop()?.answer();
        return 500;
      },
    );
    await using own = await startTestGateway({ mcpServers: { up: { url: deaf.url } } });
    await own.core.refresher.ready();
    const clientInfo = { name: "c", version: "1" };
    const hello = { protocolVersion: "2025-03-26", capabilities: { roots: {} }, clientInfo };
    const opened = await own.rpc("/mcp", { jsonrpc: "2.0", id: 0, method: "initialize", params: hello });
    const headers = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
    const call = (name: string, id: number) => ({
      jsonrpc: "2.0",
      id,
      method: "tools/call",
      params: { name: `up_${name}`, arguments: {} },
    });
    const ask = async (id: number) => {
      const { events } = await openRaw(own, "/mcp", { headers, body: call("ask", id) });
      const question = () => events.find(({ data }) => data !== undefined)?.data;
      await eventually(() => question() !== undefined);
      const { id: asked } = question() as { readonly id: string };
      return { jsonrpc: "2.0", id: asked, result: { roots: [] } };
    };
    const { status, body } = await own.rpc("/mcp", [await ask(1), call("act", 2)], headers);
    expect([status, body]).toMatchObject([200, [{ id: 2, result: { content: [] } }]]);
    expect(executed).toBe(1);
    const alone = await own.rpc("/mcp", await ask(3), headers);
    expect(alone.body).toMatchObject({
      id: null,
      error: { code: -31_002, data: { code: "upstream_unreachable", retryable: false } },
    });
    expect(own.logs.filter((line) => line.includes("a request failed"))).toEqual([]);
  });
});
