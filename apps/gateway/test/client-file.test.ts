import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadConfig } from "../src/config/load-config.ts";
import { startEverythingHttp } from "./support/public-servers.ts";
import { startTestGateway } from "./support/test-gateway.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-client-file-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function load(content: object) {
  const file = join(folder, "mcp.json");
  await writeFile(file, JSON.stringify(content));
  const warnings: string[] = [];
  const config = await loadConfig({ file, onWarning: (text) => warnings.push(text) });
  return { config, warnings: warnings.map((text) => text.split(":")[0]) };
}

describe("a client's mcpServers file", () => {
  it("is taken as it is: known keys of clients pass, unknown ones are left out with a warning", async () => {
    const { config, warnings } = await load({
      globalShortcut: "Ctrl+Space",
      mcpServers: {
        git: {
          type: "stdio",
          command: "uvx",
          args: ["mcp-server-git"],
          envFile: ".env",
          disabled: true,
          autoApprove: true,
          alwaysAllow: ["status"],
          timeout: "60",
          description: "git",
        },
        old: { type: "sse", url: "http://127.0.0.1:9/sse", gallery: {} },
      },
    });
    expect(config.mcpServers["git"]).toMatchObject({ command: "uvx", disabled: true });
    expect(config.mcpServers["old"]).toMatchObject({ type: "sse" });
    expect(warnings).toEqual(["mcpServers.git.envFile", "mcpServers.old.gallery", "globalShortcut"]);
  });

  it("still has misspelt keys refused, and any other file all unknown ones", async () => {
    await expect(load({ mcpServers: { a: { comand: "x" } } })).rejects.toThrow('did you mean "command"?');
    await expect(load({ mcpServers: { a: { command: "x" } }, limts: {} })).rejects.toThrow('"limits"?');
    await expect(load({ server: {}, mcpServers: { a: { command: "x", envFile: "y" } } })).rejects.toThrow(
      "mcpServers.a.envFile: unknown key",
    );
  });

  it("may name servers of the transport of 2024-11-05, which are then called over it", async () => {
    await using old = await startEverythingHttp("sse");
    await using gateway = await startTestGateway({ mcpServers: { old: { type: "sse", url: old.url } } });
    const answer = await gateway.rpc("/mcp/http", {
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: "old_echo", arguments: { message: "x" } },
    });
    expect(answer.body.result.content).toEqual([{ type: "text", text: "Echo: x" }]);
  });
});
