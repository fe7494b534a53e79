import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

/** Each test puts an edit of the payload here; the plugin is loaded into this process. */
const edits = globalThis as { gatewrightTestEdit?: ((payload: object) => object) | undefined };
const source = `
const edit = (payload) => globalThis.gatewrightTestEdit && { modify: globalThis.gatewrightTestEdit(payload) };
export default {
  name: "editor", version: "1.0.0", description: "Edits calls.",
  hooks: { tool_pre_invoke: {}, prompt_pre_fetch: {}, resource_pre_fetch: {} },
  create: () => ({ hooks: { tool_pre_invoke: edit, prompt_pre_fetch: edit, resource_pre_fetch: edit } }),
};
`;

let folder: string;
let upstream: ScriptedServer;
let gateway: TestGateway;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-edits-"));
  const module = join(folder, "editor.mjs");
  await writeFile(module, source);
  upstream = await startScriptedServer();
  gateway = await startTestGateway({
    mcpServers: { up: { url: upstream.url, passthroughHeaders: ["x-team"] } },
    plugins: [{ name: "editor", module }],
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  edits.gatewrightTestEdit = undefined;
  await gateway[Symbol.asyncDispose]();
  await upstream.close();
  await rm(folder, { recursive: true });
});

const request = async (
  method: string,
  params: Record<string, unknown>,
  edit: Record<string, unknown> | ((payload: object) => object) = {},
) => {
  edits.gatewrightTestEdit = typeof edit === "function" ? edit : (payload) => ({ ...payload, ...edit });
  const { body } = await gateway.rpc(
    "/mcp/http",
    { jsonrpc: "2.0", id: 1, method, params },
    { "x-team": "blue" },
  );
  return { body, sent: upstream.seen(method).at(-1) };
};
const call = (edit?: Parameters<typeof request>[2]) =>
  request("tools/call", { name: "up_read", arguments: { path: "a" } }, edit);

describe("what a plugin changes of a call is what the upstream gets", () => {
  it("nothing changed: the caller's own", async () => {
    const { sent } = await call();
    expect(sent?.params).toMatchObject({ name: "read", arguments: { path: "a" } });
    expect(sent?.headers).toMatchObject({ "mcp-name": "read", "x-team": "blue" });
  });

  it("the name of the tool, in the body and in its header", async () => {
    const { sent } = await call({ name: "put" });
    expect(sent?.params).toMatchObject({ name: "put", arguments: { path: "a" } });
    expect(sent?.headers["mcp-name"]).toBe("put");
  });

  it("the arguments; removed, they are empty", async () => {
    expect((await call({ args: { path: "b" } })).sent?.params.arguments).toEqual({ path: "b" });
    const { sent } = await call(({ name, headers }: { name?: string; headers?: object }) => ({
      name,
      headers,
    }));
    expect(sent?.params.arguments).toEqual({});
  });

  it("headers: added, changed and removed, but not those of the transport", async () => {
    const { sent } = await call({ headers: { "X-Edited": "1", "mcp-session-id": "forged", host: "forged" } });
    expect(sent?.headers).toMatchObject({ "x-edited": "1", "mcp-name": "read" });
    expect(sent?.headers).not.toHaveProperty("x-team");
    expect(sent?.headers).not.toHaveProperty("mcp-session-id");
    expect(sent?.headers.host).not.toBe("forged");
    expect((await call({ headers: { "x-team": "red" } })).sent?.headers["x-team"]).toBe("red");
  });

  it("which prompt is read", async () => {
    const { sent } = await request("prompts/get", { name: "up_greet" }, { promptId: "other" });
    expect(sent?.params.name).toBe("other");
  });

  it("which resource is read, and its metadata but for what the protocol keeps there", async () => {
    const { body: listed } = await gateway.rpc("/mcp/http", {
      jsonrpc: "2.0",
      id: 1,
      method: "resources/list",
    });
    const { uri } = listed.result.resources[0];
    const plain = await request("resources/read", { uri });
    expect(plain.sent?.params.uri).toBe("res://a");
    const params = { uri, _meta: { mine: 1, progressToken: 7 } };
    const { sent } = await request("resources/read", params, { uri: "res://b", metadata: { theirs: 2 } });
    expect(sent?.params.uri).toBe("res://b");
    expect(sent?.params._meta).toMatchObject({ theirs: 2 });
    expect(sent?.params._meta).not.toHaveProperty("mine");
    expect(sent?.params._meta["io.modelcontextprotocol/protocolVersion"]).toBe("2026-07-28");
  });

  it.each([
    ["a name that is none", { name: 7 }],
    ["headers with a line break", { headers: { "x-a": "a\r\nx-b: b" } }],
    ["headers with a name that is none", { headers: { "a b": "c" } }],
  ])("%s fails the call, and nothing is sent", async (_, edit) => {
    const before = upstream.seen("tools/call").length;
    const { body } = await call(edit);
    expect(body).toMatchObject({ id: 1, error: { code: -32603, data: { code: "plugin_error" } } });
    expect(upstream.seen("tools/call")).toHaveLength(before);
  });
});
