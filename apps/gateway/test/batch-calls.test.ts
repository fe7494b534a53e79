import { request } from "node:http";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
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
