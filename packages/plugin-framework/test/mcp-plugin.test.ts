import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { eventually, reservePort } from "@gatewright/testkit";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler } from "@modelcontextprotocol/server";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { createPluginPipeline, type PluginEntry } from "../src/index.ts";
import { createMcpPlugin, type McpPluginOptions } from "../src/mcp/index.ts";
import { buildPluginServer } from "./mcp-server.ts";
import { toolCall } from "./support.ts";

const servers = new Set<Server>();

async function serve(port = 0): Promise<{ server: Server; port: number; stop(): Promise<void> }> {
  const handler = toNodeHandler(createMcpHandler(() => buildPluginServer()));
  const server = createServer((request, response) => void handler(request as never, response));
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  servers.add(server);
  const stop = () =>
    new Promise<void>((resolve) => {
      servers.delete(server);
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { server, port: (server.address() as AddressInfo).port, stop };
}

/** A port that nobody else takes while its server is away. */
async function ownPort(): Promise<number> {
  const { port, release } = await reservePort();
  onTestFinished(release);
  return port;
}

afterEach(() => {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  servers.clear();
});

const remote = (endpoint: McpPluginOptions["endpoint"], more: Partial<McpPluginOptions> = {}) =>
  createMcpPlugin({ name: "dlp", hooks: { tool_pre_invoke: {} }, endpoint, ...more });

async function ask(entry: PluginEntry, name: string) {
  await using pipeline = await createPluginPipeline({ plugins: [entry] });
  using scope = pipeline.begin({ requestId: "r1", tenantId: "acme", user: { id: 7 } });
  return await scope.invoke("tool_pre_invoke", { ...toolCall, name });
}

describe("a plugin that is an MCP server", () => {
  it("PF-R10 over streamable HTTP: the tool invoke_hook decides, edits and blocks", async () => {
    const { port } = await serve();
    const url = `http://127.0.0.1:${port}/mcp`;
    const use = remote(
      { kind: "http", url },
      { remoteName: "scanner", version: "3.0.0", tags: ["dlp"], defaults: { priority: 3 } },
    );
    const edited = await ask({ use }, "echo");
    expect(edited).toMatchObject({
      allowed: true,
      payload: { ...toolCall, name: "echo!" },
      headers: { seen: "1" },
    });
    expect(edited.metadata["dlp"]).toMatchObject({
      plugin: "scanner",
      hook: "tool_pre_invoke",
      context: { requestId: "r1", tenantId: "acme", user: { id: 7 }, mode: "enforce" },
    });
    const blocked = await ask({ use }, "secret");
    expect(blocked).toMatchObject({
      allowed: false,
      violation: { code: "secret_found", httpStatus: 451, pluginName: "dlp" },
    });
    expect(use).toMatchObject({ version: "3.0.0", tags: ["dlp"], description: "External plugin scanner." });
  });

  it("PF-R10 over stdio, with the child gone after close", async () => {
    const use = remote({
      kind: "stdio",
      command: process.execPath,
      args: [join(import.meta.dirname, "mcp-stdio-server.ts")],
      env: { PATH: process.env["PATH"] ?? "" },
      cwd: import.meta.dirname,
    });
    expect(await ask({ use }, "echo")).toMatchObject({ payload: { name: "echo!" } });
  });

  it("PF-R10 timeout and onError as for any plugin; an error and a bad outcome are the plugin's", async () => {
    const { port } = await serve();
    const use = remote({ kind: "http", url: `http://127.0.0.1:${port}/mcp` });
    await expect(ask({ use, timeoutMs: 100 }, "hang")).rejects.toMatchObject({ code: "plugin_timeout" });
    await expect(ask({ use }, "fail")).rejects.toThrow("the remote plugin is unwell");
    await expect(ask({ use }, "typo")).rejects.toThrow('outcome.blok: unknown key; did you mean "block"?');
    const ignored = await ask({ use, onError: "ignore" }, "fail");
    expect(ignored).toMatchObject({ allowed: true, records: [{ status: "error" }] });
  });

  it("PF-R10 connects again after its server was restarted, and fails at once while it is away", async () => {
    const first = await serve(await ownPort());
    const endpoint = { kind: "http", url: `http://127.0.0.1:${first.port}/mcp` } as const;
    const use = remote(endpoint, { reconnectMinMs: 20, reconnectMaxMs: 40 });
    await using pipeline = await createPluginPipeline({ plugins: [{ use, onError: "ignore" }] });
    const status = async () => {
      using scope = pipeline.begin({ requestId: "r" });
      return (await scope.invoke("tool_pre_invoke", toolCall)).records[0]?.status;
    };
    expect(await status()).toBe("completed");
    await first.stop();
    expect(await status()).toBe("error");
    const startedAt = performance.now();
    expect(await status()).toBe("error");
    expect(performance.now() - startedAt).toBeLessThan(2_500);
    await serve(first.port);
    await eventually(async () => (await status()) === "completed");
  });

  it("PF-R10 a server that is away at start is found when it comes", async () => {
    const { port, stop } = await serve(await ownPort());
    await stop();
    const endpoint = {
      kind: "http",
      url: `http://127.0.0.1:${port}/mcp`,
      headers: { "x-key": "k" },
    } as const;
    const use = remote(endpoint, { reconnectMinMs: 20, reconnectMaxMs: 40 });
    await using pipeline = await createPluginPipeline({ plugins: [{ use, onError: "ignore" }] });
    const ask = async () => {
      using scope = pipeline.begin({ requestId: "r" });
      return await scope.invoke("tool_pre_invoke", toolCall);
    };
    expect(await ask()).toMatchObject({ allowed: true, records: [{ status: "error" }] });
    await serve(port);
    await eventually(async () => (await ask()).records[0]?.status === "completed");
  });
});
