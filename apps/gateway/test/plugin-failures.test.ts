import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

const source = `
const block = (facts) => ({ block: { reason: "r", description: "d", code: "refused", ...facts } });
export default {
  name: "clumsy", version: "1.0.0", description: "Fails as it is asked to.",
  hooks: { tool_pre_invoke: {}, http_pre_request: {}, http_post_request: {} },
  create: () => ({ hooks: {
    tool_pre_invoke: ({ args }) => {
      if (args.path === "hang") return new Promise(() => {});
      if (args.path === "throw") throw new Error("the password is hunter2");
    },
    http_pre_request: ({ headers }) => {
      if (headers["x-pre"] === "throw") throw new Error("the password is hunter2");
      if (headers["x-pre"] === "break") return { headers: { "x-a": "a\\r\\nx-b: b", "x-c": "d" } };
      if (headers["x-pre"] === "status") return block({ httpStatus: 101 });
      if (headers["x-pre"] === "teapot") return block({ httpStatus: 418, headers: { "x-a": "a\\r\\nx-b: b", "x-c": "d" } });
    },
    http_post_request: (payload) => {
      const { headers, responseHeaders } = payload;
      if (headers["x-post"] === "throw") throw new Error("hunter2");
      if (headers["x-post"] === "status") return { modify: { ...payload, statusCode: 42 } };
      if (headers["x-post"] === "break") {
        return { modify: { ...payload, responseHeaders: { ...responseHeaders, "x-a": "a\\r\\nx-b: b", "x-c": "d" } } };
      }
    },
  } }),
};
`;

let folder: string;
let upstream: ScriptedServer;
let gateway: TestGateway;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-failures-"));
  const module = join(folder, "clumsy.mjs");
  await writeFile(module, source);
  upstream = await startScriptedServer();
  gateway = await startTestGateway({
    limits: { bodyBytes: 8_388_608 },
    mcpServers: { up: { url: upstream.url } },
    plugins: [{ name: "clumsy", module, timeoutMs: 100 }],
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstream.close();
  await rm(folder, { recursive: true });
});

const call = (path: string, headers?: Record<string, string>) =>
  gateway.rpc(
    "/mcp/http",
    { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "up_read", arguments: { path } } },
    headers,
  );
const health = (headers: Record<string, string>) => fetch(`${gateway.url}/health`, { headers });

describe("a plugin that fails", () => {
  it("in its time: plugin_timeout, and the call may be repeated", async () => {
    const { body } = await call("hang");
    expect(body.error).toMatchObject({ code: -31003, data: { code: "plugin_timeout", retryable: true } });
  });

  it("by throwing: plugin_error, and the caller does not read what was thrown", async () => {
    const { status, body } = await call("throw");
    expect(status).toBe(200);
    expect(body.error).toMatchObject({ code: -32603, data: { code: "plugin_error", retryable: false } });
    expect(JSON.stringify(body)).not.toContain("hunter2");
  });

  it("by a payload above the 4 MiB that the gateway sets: payload_too_large", async () => {
    const limit = 4 * 1_024 * 1_024;
    expect((await call("x".repeat(limit - 200))).body).toHaveProperty("result");
    const { status, body } = await call("x".repeat(limit + 1));
    expect(status).toBe(413);
    expect(body.error).toMatchObject({ code: -32602, data: { code: "payload_too_large" } });
  });

  it("before a request: plugin_error on both surfaces", async () => {
    const rest = await health({ "x-pre": "throw" });
    expect(rest.status).toBe(500);
    expect(await rest.json()).toMatchObject({ error: { code: "plugin_error", message: "a plugin failed" } });
    const { body } = await call("a", { "x-pre": "throw" });
    expect(body).toMatchObject({ id: null, error: { code: -32603, data: { code: "plugin_error" } } });
  });
});

describe("what a plugin makes of an answer's head", () => {
  it.each(["throw", "status"])("%s: the answer goes out as it is", async (what) => {
    expect((await health({ "x-post": what })).status).toBe(200);
    const { status, body } = await call("a", { "x-post": what });
    expect(status).toBe(200);
    expect(body).toMatchObject({ id: 1, result: { content: [{ text: "done" }] } });
  });

  it.each(["x-pre", "x-post"])("%s: a header that cannot be sent is left out", async (when) => {
    for (const answer of [await health({ [when]: "break" }), await call("a", { [when]: "break" })]) {
      expect(answer.status).toBe(200);
      expect(answer.headers.get("x-c")).toBe("d");
      expect(answer.headers.get("x-a")).toBeNull();
    }
  });

  it("nor does one that a plugin gives for a call take the answer away", async () => {
    const module = join(folder, "breaker.mjs");
    const answer = '{ headers: { "x-a": "a\\r\\nx-b: b", "a b": "c", "x-c": "d" } }';
    const create = `() => ({ hooks: { tool_pre_invoke: () => (${answer}) } })`;
    const manifest = 'name: "breaker", version: "1.0.0", description: "", hooks: { tool_pre_invoke: {} }';
    await writeFile(module, `export default { ${manifest}, create: ${create} };`);
    await using own = await startTestGateway({
      mcpServers: { up: { url: upstream.url } },
      plugins: [{ name: "breaker", module }],
    });
    await own.core.refresher.ready();
    const params = { name: "up_read", arguments: {} };
    const request = { jsonrpc: "2.0", id: 1, method: "tools/call", params };
    const { status, headers, body } = await own.rpc("/mcp/http", request);
    expect(status).toBe(200);
    expect(body).toMatchObject({ id: 1, result: { content: [{ text: "done" }] } });
    expect([headers.get("content-type"), headers.get("x-c"), headers.get("x-a")]).toEqual([
      "application/json",
      "d",
      null,
    ]);
  });

  it("a refusal has the status of a refusal, and headers that can be sent", async () => {
    expect((await health({ "x-pre": "status" })).status).toBe(403);
    expect((await call("a", { "x-pre": "status" })).status).toBe(403);
    const teapot = await health({ "x-pre": "teapot" });
    expect(teapot.status).toBe(418);
    expect(teapot.headers.get("x-c")).toBe("d");
    expect(teapot.headers.get("x-a")).toBeNull();
  });
});
