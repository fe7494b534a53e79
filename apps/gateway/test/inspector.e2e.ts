import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { startEchoServer } from "@gatewright/mcp-fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

const require = createRequire(import.meta.url);
const run = promisify(execFile);

let echo: Awaited<ReturnType<typeof startEchoServer>>;
let gateway: TestGateway;
let home: string;

beforeAll(async () => {
  echo = await startEchoServer();
  gateway = await startTestGateway({ mcpServers: { demo: { url: echo.url } } });
  await gateway.core.refresher.ready();
  home = await mkdtemp(join(tmpdir(), "gatewright-inspector-"));
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await echo.close();
  await rm(home, { recursive: true, force: true });
});

/** Runs the inspector's command against a path of the gateway; resolves with what it prints. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape.
async function inspect(path: string, ...args: string[]): Promise<any> {
  const manifest = require.resolve("@modelcontextprotocol/inspector/package.json");
  const { bin } = require(manifest) as { bin: Record<string, string> };
  const script = join(dirname(manifest), bin["mcp-inspector"] ?? "");
  const header = `Authorization: Bearer ${gateway.token}`;
  const all = [script, "--cli", `${gateway.url}${path}`, "--header", header, ...args];
  const env = { PATH: process.env["PATH"], HOME: home };
  const { stdout } = await run(process.execPath, all, { env, timeout: 60_000 });
  return JSON.parse(stdout);
}

// Slow because each is a program of its own.
describe.each([
  ["streamable HTTP", "/mcp", "http"],
  ["HTTP+SSE", "/sse", "sse"],
])("the inspector over %s", (_name, path, transport) => {
  it("lists the tools", async () => {
    const { tools } = await inspect(path, "--transport", transport, "--method", "tools/list");
    expect(tools.map((tool: { name: string }) => tool.name)).toEqual(["demo_echo", "demo_fail"]);
  }, 60_000);

  it("calls a tool", async () => {
    const call = ["--method", "tools/call", "--tool-name", "demo_echo", "--tool-arg", "text=hello"];
    const { content } = await inspect(path, "--transport", transport, ...call);
    expect(content).toEqual([{ type: "text", text: "hello" }]);
  }, 60_000);
});
