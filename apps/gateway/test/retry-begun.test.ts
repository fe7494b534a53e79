import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { startTestGateway } from "./support/test-gateway.ts";

type Message = { id: number; method: string; params: { requestState?: string } };
type Answer = (result: unknown, headers?: Record<string, string>) => void;

const ends: (() => void)[] = [];

afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A server by hand, as those of the SDK neither end a stream before the answer nor refuse a later round. */
async function serve(handle: (message: Message, answer: Answer, response: ServerResponse) => void) {
  const listener: RequestListener = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.method !== "POST") return void response.writeHead(405).end();
    const message = JSON.parse(Buffer.concat(chunks).toString()) as Message;
    if (message.id === undefined) return void response.writeHead(202).end();
    const answer: Answer = (result, headers = {}) => {
      response.writeHead(200, { "content-type": "application/json", ...headers });
      response.end(JSON.stringify({ jsonrpc: "2.0", id: message.id, result }));
    };
    handle(message, answer, response);
  };
  let server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  ends.push(stop);
  const restart = () => {
    stop();
    setTimeout(() => {
      server = createServer(listener).listen(port, "127.0.0.1");
    }, 150);
  };
  return { url: `http://127.0.0.1:${port}/mcp`, restart };
}

const plugins = [{ name: "retry", config: { baseMs: 400, maxMs: 400, jitter: "none" } }];
const tools = [{ name: "pay", inputSchema: { type: "object" } }];
const serverInfo = { name: "by-hand", version: "1" };
const call = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "pay", arguments: {} } };

it("RB-10 a call whose stream ended, and cannot be gone on with as the server is away, is not made again", async () => {
  let executed = 0;
  const { url, restart } = await serve(({ id, method }, answer, response) => {
    if (method === "initialize") {
      const result = { protocolVersion: "2025-06-18", capabilities: { tools: {} }, serverInfo };
      return answer(result, { "mcp-session-id": "s" });
    }
    if (method === "tools/list") return answer({ tools });
    if (method !== "tools/call") {
      response.writeHead(400, { "content-type": "application/json" });
      return response.end(JSON.stringify({ jsonrpc: "2.0", id, error: { code: -32601, message: "no" } }));
    }
    if (++executed > 1) return answer({ content: [] });
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end("id: a-1\nretry: 50\ndata:\n\n", () => setTimeout(restart, 5));
  });
  await using gateway = await startTestGateway({ mcpServers: { up: { url } }, plugins });
  await gateway.core.refresher.ready();
  const { body } = await gateway.rpc("/mcp/http", { ...call, params: { name: "up_pay", arguments: {} } });
  expect(body.error.data).toMatchObject({ code: "outcome_unknown" });
  expect(executed).toBe(1);
});

it("RB-10 a call that has asked something is not begun again when a later round of it is refused", async () => {
  let begun = 0;
  let refused = 0;
  const { url } = await serve(({ method, params }, answer, response) => {
    const own = { resultType: "complete", ttlMs: 0, cacheScope: "private" };
    if (method === "server/discover") {
      return answer({ ...own, supportedVersions: ["2026-07-28"], capabilities: { tools: {} }, serverInfo });
    }
    if (method === "tools/list") return answer({ ...own, tools });
    if (method !== "tools/call") return response.writeHead(404).end();
    if (params.requestState === undefined) {
      begun++;
      return answer({ resultType: "input_required", requestState: "begun", inputRequests: {} });
    }
    if (++refused === 1) return response.writeHead(503).end();
    answer({ ...own, content: [] });
  });
  await using gateway = await startTestGateway({ mcpServers: { up: { url } }, plugins });
  await gateway.core.refresher.ready();
  const path = `/servers/${await gateway.idOf("up")}/mcp`;
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "c", version: "1" } };
  const hello = await gateway.rpc(path, { jsonrpc: "2.0", id: 0, method: "initialize", params });
  const { body } = await gateway.rpc(path, call, {
    "mcp-session-id": hello.headers.get("mcp-session-id") ?? "",
    "mcp-protocol-version": "2025-11-25",
  });
  expect(body.error.data).toMatchObject({ code: "outcome_unknown" });
  expect(begun).toBe(1);
});
