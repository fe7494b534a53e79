import { startEchoServer } from "@gatewright/mcp-fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let echo: Awaited<ReturnType<typeof startEchoServer>>;
let gateway: TestGateway;
let id: string;

beforeAll(async () => {
  echo = await startEchoServer();
  gateway = await startTestGateway({ mcpServers: { echo: { url: echo.url } } });
  id = await gateway.idOf("echo");
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await echo.close();
});

const call = {
  jsonrpc: "2.0",
  id: 7,
  method: "tools/call",
  params: { name: "echo_echo", arguments: { text: "x" } },
};

describe("bad input on MCP routes is answered by valid JSON-RPC, and the process lives on", () => {
  const routes = () => ["/mcp", "/mcp/http", `/servers/${id}/mcp`, `/servers/${id}/mcp/`];

  it("malformed JSON is −32700 with HTTP 400", async () => {
    for (const route of routes()) {
      const answer = await gateway.rpc(route, '{"jsonrpc":"2.0",');
      expect(answer.status).toBe(400);
      expect(answer.body).toMatchObject({ jsonrpc: "2.0", id: null, error: { code: -32700 } });
    }
  });

  it("an unknown method is −32601 under the request's id", async () => {
    const answer = await gateway.rpc("/mcp/http", { jsonrpc: "2.0", id: "a", method: "no/such" });
    expect(answer.body).toMatchObject({ jsonrpc: "2.0", id: "a", error: { code: -32601 } });
  });

  it("a header of another era than the body is refused", async () => {
    const modern = await gateway.rpc(`/servers/${id}/mcp`, call, { "mcp-protocol-version": "2026-07-28" });
    expect(modern.status).toBe(400);
    expect(modern.body).toMatchObject({ jsonrpc: "2.0", id: 7, error: { code: -32602 } });
    const unknown = await gateway.rpc(`/servers/${id}/mcp`, call, { "mcp-protocol-version": "1999-01-01" });
    expect(unknown.status).toBe(400);
    expect(unknown.body).toMatchObject({ jsonrpc: "2.0", id: 7 });
  });

  it("a body over 4 MiB is 413", async () => {
    for (const route of routes()) {
      const answer = await gateway.rpc(route, `{"jsonrpc":"2.0","id":1,"method":"${"x".repeat(4_194_304)}"}`);
      expect(answer.status).toBe(413);
      expect(answer.body).toMatchObject({
        jsonrpc: "2.0",
        id: null,
        error: { data: { code: "payload_too_large" } },
      });
    }
  });

  it("a chunked body over 4 MiB is 413 although no length was announced", async () => {
    const chunk = new TextEncoder().encode("x".repeat(1_048_576));
    let sent = 0;
    const body = new ReadableStream({
      pull: (controller) => (sent++ < 6 ? controller.enqueue(chunk) : controller.close()),
    });
    const headers = { authorization: `Bearer ${gateway.token}`, "content-type": "application/json" };
    const answer = await fetch(`${gateway.url}/mcp/http`, {
      method: "POST",
      headers,
      body,
      duplex: "half",
    } as RequestInit);
    expect(answer.status).toBe(413);
    expect(await answer.json()).toMatchObject({ jsonrpc: "2.0", id: null });
  });

  it("JSON nested 2 000 deep is 400", async () => {
    const deep = `${"[".repeat(2_000)}${"]".repeat(2_000)}`;
    const answer = await gateway.rpc(
      "/mcp/http",
      `{"jsonrpc":"2.0","id":3,"method":"ping","params":{"a":${deep}}}`,
    );
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ jsonrpc: "2.0", id: 3, error: { code: -32600 } });
  });

  it("an unknown server id is 404 under the request's id", async () => {
    const answer = await gateway.rpc("/servers/nope/mcp", call);
    expect(answer.status).toBe(404);
    expect(answer.body).toMatchObject({ jsonrpc: "2.0", id: 7, error: { data: { code: "not_found" } } });
  });

  it("a missing, foreign or expired token is 401 with a challenge", async () => {
    const headers = { "content-type": "application/json" };
    const expired = await gateway.mint({ expiresInSeconds: -60 });
    for (const authorization of [undefined, "Basic eA==", "Bearer x.y.z", `Bearer ${expired}`]) {
      const answer = await fetch(`${gateway.url}/mcp/http`, {
        method: "POST",
        headers: authorization === undefined ? headers : { ...headers, authorization },
        body: JSON.stringify(call),
      });
      expect(answer.status).toBe(401);
      expect(answer.headers.get("www-authenticate")).toContain("resource_metadata=");
      expect(await answer.json()).toMatchObject({ jsonrpc: "2.0", id: null, error: { code: -31005 } });
    }
  });

  it("a token without the scope, or for other servers, is 403", async () => {
    const admin = await gateway.mint({ scopes: ["admin"] });
    const other = await gateway.mint({ servers: ["another"] });
    for (const [token, route] of [
      [admin, "/mcp/http"],
      [other, `/servers/${id}/mcp`],
    ] as const) {
      const answer = await gateway.rpc(route, call, { authorization: `Bearer ${token}` });
      expect(answer.status).toBe(403);
    }
    const none = await gateway.rpc(
      "/mcp/http",
      { jsonrpc: "2.0", id: 1, method: "tools/list" },
      { authorization: `Bearer ${other}` },
    );
    expect(none.body.result.tools).toEqual([]);
  });

  it("a wrong content type, a foreign Host or Origin, a batch and a GET on /mcp/http are refused", async () => {
    expect((await gateway.rpc("/mcp", call, { "content-type": "text/plain" })).status).toBe(400);
    expect((await gateway.rpc("/mcp", call, { origin: "https://evil.example" })).status).toBe(403);
    expect((await gateway.rpc("/mcp", JSON.stringify([call]))).body.error.code).toBe(-32600);
    const get = await gateway.rest("GET", "/mcp/http");
    expect(get.status).toBe(405);
    expect(get.body).toMatchObject({ jsonrpc: "2.0", id: null });
  });

  it("unknown tools, prompts and resources are errors of the call", async () => {
    for (const [method, params] of [
      ["tools/call", { name: "nope" }],
      ["prompts/get", { name: "nope" }],
      ["completion/complete", { ref: {} }],
      ["tools/call", {}],
    ] as const) {
      const answer = await gateway.rpc("/mcp/http", { jsonrpc: "2.0", id: 1, method, params });
      expect(answer.body).toMatchObject({ jsonrpc: "2.0", id: 1, error: { code: -32602 } });
    }
  });

  it("still serves calls afterwards", async () => {
    const answer = await gateway.rpc("/mcp/http", call);
    expect(answer.status).toBe(200);
    expect(answer.body.id).toBe(7);
    expect(JSON.stringify(answer.body.result)).toContain("x");
  });
});

describe("bad input on REST routes", () => {
  it("a duplicate name is 409, an unreachable upstream 502 with the cause, nonsense 422", async () => {
    const duplicate = await gateway.rest("POST", "/gateways", { name: "ECHO", url: echo.url });
    expect(duplicate.status).toBe(409);
    expect(duplicate.body.error).toMatchObject({ code: "conflict", details: { id } });
    const unreachable = await gateway.rest("POST", "/gateways", {
      name: "gone",
      url: "http://127.0.0.1:1/mcp",
    });
    expect(unreachable.status).toBe(502);
    expect(unreachable.body.error.message).toContain("ECONNREFUSED");
    const both = { name: "x", url: echo.url, command: "node" };
    for (const body of [
      {},
      both,
      { name: "x" },
      { name: "x", url: "ftp://a/b" },
      { name: "x", urll: "http://a" },
    ]) {
      const answer = await gateway.rest("POST", "/gateways", body);
      expect(answer.status).toBe(422);
      expect(answer.body.error).toMatchObject({ code: "validation_failed", retryable: false });
    }
    expect(
      (await gateway.rest("POST", "/gateways", { name: "x", url: echo.url, passthroughHeaders: ["Cookie"] }))
        .status,
    ).toBe(422);
  });

  it("metadata and link-local addresses are refused", async () => {
    for (const url of ["http://169.254.169.254/mcp", "http://[fe80::1]/mcp", "http://0.0.0.0/mcp"]) {
      const answer = await gateway.rest("POST", "/gateways", { name: "meta", url });
      expect(answer.status).toBe(422);
      expect(answer.body.error.message).toContain("may not connect");
    }
    const unknown = await gateway.rest("POST", "/gateways", {
      name: "dns",
      url: "http://no-such-host.invalid/mcp",
    });
    expect(unknown.status).toBe(502);
  });

  it("unknown paths, broken bodies and missing scopes have their own status", async () => {
    expect((await gateway.rest("GET", "/nope")).status).toBe(404);
    expect((await gateway.rest("GET", "/gateways/nope")).body.error.code).toBe("not_found");
    const user = await gateway.mint({ scopes: ["mcp"] });
    expect((await gateway.rest("POST", "/gateways", { name: "x" }, user)).status).toBe(403);
    expect((await gateway.rest("GET", "/gateways", undefined, user)).status).toBe(200);
    expect((await fetch(`${gateway.url}/gateways`)).status).toBe(401);
    const broken = await fetch(`${gateway.url}/gateways`, {
      method: "POST",
      headers: { authorization: `Bearer ${gateway.token}`, "content-type": "application/json" },
      body: "{",
    });
    expect(broken.status).toBe(400);
    const long = await gateway.rest("POST", "/gateways", { name: "x".repeat(4_194_304) });
    expect(long.status).toBe(413);
  });
});
