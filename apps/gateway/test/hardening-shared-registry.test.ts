import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { startEchoServer } from "@gatewright/mcp-fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let echo: Awaited<ReturnType<typeof startEchoServer>>;

beforeAll(async () => {
  echo = await startEchoServer();
});

afterAll(() => echo.close());

const names = async (gateway: TestGateway) =>
  (await gateway.rest("GET", "/gateways")).body.items.map((item: { name: string }) => item.name).sort();

describe("gateways that share a registry", () => {
  it("a second one with another configuration leaves what the first one runs with, and says so", async () => {
    await using first = await startTestGateway({ mcpServers: { alpha: { url: echo.url } } });
    const second = await startTestGateway({ mcpServers: { beta: { url: echo.url } } }, first);
    expect(await names(second)).toEqual(["alpha", "beta"]);
    expect(second.logs.join("\n")).toContain("in that of another gateway on this registry");
    const call = {
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: "alpha_echo", arguments: { text: "x" } },
    };
    expect((await first.rpc("/mcp/http", call)).body.result).toBeDefined();
    await second.close();
    // The one that needed it has ended, so the next start removes it.
    const third = await startTestGateway({ mcpServers: { gamma: { url: echo.url } } }, first);
    expect(await names(third)).toEqual(["alpha", "gamma"]);
    await third.close();
  });

  it("one whose process died keeps nothing", async () => {
    await using first = await startTestGateway();
    const child = spawn(process.execPath, ["-e", ""]);
    await once(child, "exit");
    const database = new DatabaseSync(join(first.dataDir, "registry.db"));
    database.exec(`insert into running_gateways values ('dead', ${child.pid}, 1, '["lost"]', 0)`);
    // A restarted container has the process id of the one before.
    database.exec(`insert into running_gateways values ('earlier', ${process.pid}, 1, '["lost"]', 0)`);
    expect(await first.core.registry.running.configured()).toEqual(new Set());
    const second = await startTestGateway({}, first);
    const rows = database.prepare("select id from running_gateways").all();
    expect(rows).toHaveLength(2);
    expect(rows.map((row) => row["id"])).not.toContain("dead");
    database.close();
    await second.close();
  });
});
