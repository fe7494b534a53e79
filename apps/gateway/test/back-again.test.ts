import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { startRawServer } from "@gatewright/mcp-fixtures";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

type Raw = Awaited<ReturnType<typeof startRawServer>>;

let raw: Raw;
let front: Server;
let gateway: TestGateway;
let away = false;

beforeAll(async () => {
  raw = await startRawServer({ era: "legacy" });
  // A place that can be away: it forwards to the server, or resets.
  front = createServer(async (request, response) => {
    if (away) return void request.socket.destroy();
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const headers = Object.entries(request.headers).flatMap(([name, value]) =>
      ["host", "connection", "content-length", "transfer-encoding"].includes(name)
        ? []
        : [[name, String(value)] as [string, string]],
    );
    const body = chunks.length > 0 ? Buffer.concat(chunks) : null;
    const answer = await fetch(raw.url, { method: request.method ?? "GET", headers, body });
    const session = answer.headers.get("mcp-session-id");
    response.writeHead(answer.status, {
      "content-type": answer.headers.get("content-type") ?? "application/json",
      ...(session !== null && { "mcp-session-id": session }),
    });
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  const { port } = front.address() as AddressInfo;
  gateway = await startTestGateway({
    mcpServers: { raw: { url: `http://127.0.0.1:${port}/mcp` } },
    plugins: [{ name: "retry", mode: "disabled" }],
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  front.closeAllConnections();
  front.close();
  await raw.close();
});

it("an upstream that a refresh finds back is called at once, though its breaker is open", async () => {
  const params = { name: "raw_echo", arguments: { text: "x" } };
  const call = () => gateway.rpc("/mcp/http", { jsonrpc: "2.0", id: 1, method: "tools/call", params });
  const id = await gateway.idOf("raw");
  const refresh = () => gateway.rest("POST", `/gateways/${id}/refresh`);
  away = true;
  gateway.core.pool.drain({ serverId: id }, { deadlineMs: 0 });
  for (let time = 0; time < 8; time++) expect((await call()).body.error).toBeDefined();
  const breaker = () => gateway.core.pool.stats().perServer.find(({ serverId }) => serverId === id)?.breaker;
  expect(breaker()).toBe("open");
  await refresh();
  away = false;
  // Back, but the breaker would wait for a minute.
  expect((await call()).body.error).toBeDefined();
  expect((await refresh()).status).toBe(200);
  expect((await call()).body.result).toBeDefined();
  expect(breaker()).toBe("closed");
});
