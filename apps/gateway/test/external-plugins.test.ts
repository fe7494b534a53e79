import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fixtureCommand } from "@gatewright/mcp-fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gatewayConfig } from "../src/config/gateway-config.ts";
import { createExternalPlugins } from "../src/wiring/external-plugins.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway } from "./support/test-gateway.ts";

let plugin: ScriptedServer;
let upstream: ScriptedServer;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-plugins-"));
  [plugin, upstream] = await Promise.all([startScriptedServer(), startScriptedServer()]);
});

afterAll(async () => {
  await Promise.all([plugin.close(), upstream.close()]);
  await rm(folder, { recursive: true });
});

const outcome = (structuredContent: object) => ({ result: { content: [], structuredContent } });
const call = {
  jsonrpc: "2.0",
  id: 1,
  method: "tools/call",
  params: { name: "up_read", arguments: { path: "a" } },
};

describe("plugins of the configuration", () => {
  it("one that is an MCP server decides on calls, and changes them", async () => {
    await using gateway = await startTestGateway({
      mcpServers: { up: { url: upstream.url } },
      plugins: [{ name: "dlp", mcp: { url: plugin.url, hooks: { tool_pre_invoke: {} } } }],
    });
    await gateway.core.refresher.ready();
    plugin.script("tools/call", outcome({ modify: { name: "read", args: { path: "b" }, headers: {} } }));
    expect((await gateway.rpc("/mcp/http", call)).body).toMatchObject({
      result: { content: [{ text: "done" }] },
    });
    expect(upstream.seen("tools/call").at(-1)?.params.arguments).toEqual({ path: "b" });
    expect(plugin.seen("tools/call").at(-1)?.params).toMatchObject({
      name: "invoke_hook",
      arguments: { plugin: "dlp", hook: "tool_pre_invoke", payload: { name: "read", args: { path: "a" } } },
    });

    const calls = upstream.seen("tools/call").length;
    plugin.script(
      "tools/call",
      outcome({ block: { reason: "secret", description: "no", code: "dlp_blocked" } }),
    );
    expect((await gateway.rpc("/mcp/http", call)).body).toMatchObject({
      id: 1,
      error: { data: { code: "dlp_blocked" } },
    });
    expect(upstream.seen("tools/call")).toHaveLength(calls);
    expect(gateway.core.pipeline.list().map((listed) => listed.plugin)).toContain("dlp");
  });

  it("one that is a program decides on calls, and changes them", async () => {
    const { command, args } = fixtureCommand("plugin-stdio");
    await using gateway = await startTestGateway({
      mcpServers: { echo: fixtureCommand("echo-stdio") },
      plugins: [{ name: "dlp", mcp: { command, args, hooks: { tool_pre_invoke: {} } } }],
    });
    await gateway.core.refresher.ready();
    const say = async (text: string) =>
      (await gateway.rpc("/mcp/http", { ...call, params: { name: "echo_echo", arguments: { text } } })).body;
    expect(await say("quiet")).toMatchObject({ result: { content: [{ text: "QUIET" }] } });
    expect(await say("forbidden")).toMatchObject({ id: 1, error: { data: { code: "word_blocked" } } });
  });

  it("a module that cannot be loaded, or exports no plugin, is named", async () => {
    const empty = join(folder, "empty.mjs");
    await writeFile(empty, "export default 1;\n");
    const load = (module: string) =>
      createExternalPlugins().load(gatewayConfig.parse({ plugins: [{ name: "own", module }] }).plugins);
    await expect(load(join(folder, "none.mjs"))).rejects.toThrow(/plugins\.0\.module: cannot be loaded/);
    await expect(load(empty)).rejects.toThrow(/no plugin as its default export/);
  });

  it("an MCP plugin needs one place, and hooks that exist", () => {
    const problems = (mcp: object) =>
      gatewayConfig
        .safeParse({ plugins: [{ name: "own", mcp }] })
        .error?.issues.map(({ message }) => message);
    expect(problems({ hooks: {} })?.[0]).toMatch(/either url or command/);
    expect(problems({ url: "http://127.0.0.1:1/mcp", hooks: { tool_pre_invok: {} } })).toBeDefined();
  });
});
