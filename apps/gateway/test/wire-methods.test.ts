import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await startTestGateway({ limits: { headersTimeoutMs: 1_000 } });
});

afterAll(() => gateway[Symbol.asyncDispose]());

/** Sends bytes on a socket of its own and reads until the gateway closes it. */
async function exchange(bytes: string): Promise<{ status: number; body: unknown }> {
  const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1");
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk) => {
    text += chunk;
  });
  socket.on("error", () => undefined);
  socket.write(bytes);
  await once(socket, "close");
  const status = Number(text.split(" ")[1]);
  return { status, body: JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4)) };
}

const rpcError = (code: string) => ({
  jsonrpc: "2.0",
  id: null,
  error: { code: expect.any(Number), data: { code, requestId: expect.any(String) } },
});
const restError = (code: string) => ({ error: { code, retryable: false, requestId: expect.any(String) } });

describe("methods and paths of MCP routes", () => {
  it.each([
    ["/mcp", "GET, POST, DELETE"],
    ["/servers/x/mcp", "GET, POST, DELETE"],
    ["/servers/x/mcp/", "GET, POST, DELETE"],
    ["/mcp/http", "POST"],
    ["/mcp/http/", "POST"],
  ])("%s answers other methods by 405 with Allow", async (path, allow) => {
    for (const method of ["PUT", "PATCH", "OPTIONS"]) {
      const answer = await gateway.rest(method, path);
      expect(answer.status).toBe(405);
      expect(answer.headers.get("allow")).toBe(allow);
      expect(answer.body).toMatchObject(rpcError("method_not_allowed"));
    }
    const head = await gateway.rest("HEAD", path);
    expect([head.status, head.headers.get("allow")]).toEqual([405, allow]);
  });

  it("a GET of a modern client, and any on /mcp/http, is 405 with Allow: POST", async () => {
    const headers = { authorization: `Bearer ${gateway.token}`, "mcp-protocol-version": "2026-07-28" };
    for (const path of ["/mcp", "/mcp/http"]) {
      const answer = await fetch(`${gateway.url}${path}`, { headers });
      expect(answer.status).toBe(405);
      expect(answer.headers.get("allow")).toBe("POST");
      expect(await answer.json()).toMatchObject(rpcError("method_not_allowed"));
    }
  });

  it("a slash at the end of /mcp/http makes no difference", async () => {
    const answer = await gateway.rpc("/mcp/http/", { jsonrpc: "2.0", id: 1, method: "ping" });
    expect(answer.body).toEqual({ jsonrpc: "2.0", id: 1, result: {} });
  });

  it("a path below an MCP route is 404 by JSON-RPC under the request's id", async () => {
    for (const path of ["/mcp/x", "/mcp/x/y?z=1", "/servers/x/mcp/y"]) {
      const answer = await gateway.rpc(path, { jsonrpc: "2.0", id: 5, method: "ping" });
      expect(answer.status).toBe(404);
      expect(answer.body).toMatchObject({ jsonrpc: "2.0", id: 5, error: { data: { code: "not_found" } } });
    }
  });
});

describe("requests that no route sees", () => {
  it("a path that cannot be decoded is 400 in the form of its surface", async () => {
    const rpc = await gateway.rpc("/servers/%zz/mcp", "{}");
    expect(rpc.status).toBe(400);
    expect(rpc.body).toMatchObject(rpcError("validation_failed"));
    const rest = await gateway.rest("GET", "/servers/%zz");
    expect(rest.status).toBe(400);
    expect(rest.body).toMatchObject(restError("validation_failed"));
  });

  it("headers that are too long are 431", async () => {
    const long = `host: localhost\r\nx: ${"x".repeat(20_000)}\r\n\r\n`;
    const rpc = await exchange(`POST /mcp HTTP/1.1\r\n${long}`);
    expect(rpc.status).toBe(431);
    expect(rpc.body).toMatchObject(rpcError("payload_too_large"));
    const rest = await exchange(`GET /gateways HTTP/1.1\r\n${long}`);
    expect(rest.body).toMatchObject(restError("payload_too_large"));
  });

  it("headers that come too slowly are 408", async () => {
    const answer = await exchange("POST /mcp HTTP/1.1\r\nhost: localhost\r\n");
    expect(answer.status).toBe(408);
    expect(answer.body).toMatchObject(rpcError("validation_failed"));
  });

  it("what is no HTTP is 400", async () => {
    const answer = await exchange("nonsense\r\n\r\n");
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject(rpcError("validation_failed"));
    const rest = await exchange("GET /gateways HTTP/1.1\r\nhost localhost\r\n\r\n");
    expect(rest.body).toMatchObject(restError("validation_failed"));
  });
});
