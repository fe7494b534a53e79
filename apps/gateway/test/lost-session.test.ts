import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { startCrashServer } from "@gatewright/mcp-fixtures";
import { describe, expect, it, onTestFinished } from "vitest";
import { modern } from "./support/modern-client.ts";
import { startTestGateway } from "./support/test-gateway.ts";

describe("an upstream that no longer knows its session (404)", () => {
  it.each([
    { how: "retries off", plugins: [{ name: "retry", mode: "disabled" }] },
    { how: "retries on", plugins: [{ name: "retry" }] },
  ])("is initialized anew, once, and the call goes through: $how", async ({ plugins }) => {
    await using server = await startCrashServer({ era: "legacy" });
    await using gateway = await startTestGateway({ mcpServers: { crash: { url: server.url } }, plugins });
    await gateway.core.refresher.ready();
    const path = `/servers/${await gateway.idOf("crash")}/mcp`;
    const params = {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "c", version: "1" },
    };
    const opened = await gateway.rpc(path, { jsonrpc: "2.0", id: 0, method: "initialize", params });
    const headers = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
    const call = (name: string, args: object) =>
      gateway.rpc(
        path,
        { jsonrpc: "2.0", id: name, method: "tools/call", params: { name, arguments: args } },
        headers,
      );
    expect((await call("echo", { text: "one" })).body.result).toBeDefined();
    expect((await call("crash", {})).body.error.data.code).toBe("outcome_unknown");
    await server.restart();
    // The session that broke is gone; this one is known here and, after the next restart, unknown there.
    expect((await call("echo", { text: "two" })).body.result).toBeDefined();
    await server.close();
    await server.restart();
    const { body } = await call("echo", { text: "three" });
    expect(body.result?.content, JSON.stringify(body)).toEqual([{ type: "text", text: "three" }]);
  });

  it("again and again is an error, after one more try", async () => {
    let calls = 0;
    let sessions = 0;
    const server = createServer(async (request, response) => {
      let text = "";
      for await (const chunk of request) text += chunk;
      const { id, method } = JSON.parse(text || "{}") as { id?: number; method?: string };
      if (method === "tools/call") calls++;
      if (request.method !== "POST" || method === "tools/call") return response.writeHead(404).end();
      if (id === undefined) return response.writeHead(202).end();
      const capabilities = { tools: {} };
      const result = { protocolVersion: "2025-11-25", capabilities, serverInfo: { name: "s", version: "1" } };
      const known = method === "initialize" ? { result } : { error: { code: -32601, message: "no" } };
      if (method === "initialize") response.setHeader("mcp-session-id", `s-${++sessions}`);
      response.setHeader("content-type", "application/json");
      return response.end(JSON.stringify({ jsonrpc: "2.0", id, ...known }));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
    const plugins = [{ name: "retry", mode: "disabled" }];
    await using gateway = await startTestGateway({ mcpServers: { lost: { url } }, plugins });
    await gateway.core.refresher.ready();
    const path = `/servers/${await gateway.idOf("lost")}/mcp`;
    const request = { path, method: "tools/call", params: { name: "x", arguments: {} } };
    expect((await modern(gateway, request)).body.error.data.code).toBe("upstream_unreachable");
    expect(calls).toBe(2);
    const params = {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "c", version: "1" },
    };
    const opened = await gateway.rpc(path, { jsonrpc: "2.0", id: 0, method: "initialize", params });
    const headers = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
    const call = { jsonrpc: "2.0", id: 1, method: "tools/call", params: request.params };
    expect((await gateway.rpc(path, call, headers)).body.error.data.code).toBe("upstream_unreachable");
    expect(calls).toBe(4);
  });
});
