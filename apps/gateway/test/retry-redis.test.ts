import { eventually, startRedis } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway } from "./support/test-gateway.ts";

describe("the retry budget of replicas", () => {
  it("is one over Redis: what one replica earned another may spend, and no more", async () => {
    const redis = await startRedis();
    await using server = await startScriptedServer();
    const config = {
      mcpServers: { up: { url: server.url, trusted: true } },
      plugins: [{ name: "retry", config: { baseMs: 1, maxMs: 2, maxRetries: 3 } }],
      retry: { budget: { ratio: 0.2, floorPerSecond: 0 } },
      redis: { url: redis.url },
    };
    // Replicas of one deployment: one registry, so that servers have the same ids.
    await using one = await startTestGateway(config);
    await one.core.refresher.ready();
    await using other = await startTestGateway({
      ...config,
      database: { url: `sqlite:${one.dataDir}/registry.db` },
    });
    const body = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "up_read", arguments: {} } };
    for (let call = 0; call < 10; call++) {
      expect((await one.rpc("/mcp/http", body)).body.result).toBeDefined();
    }
    await eventually(async () => {
      const { budget } = (await one.rest("GET", "/admin/limits")).body.retry;
      return budget.pending === 0;
    });
    server.script("tools/call", { status: 503 });
    const before = server.seen("tools/call").length;
    const answer = await other.rpc("/mcp/http", body);
    expect(answer.body.error.data).toMatchObject({ reason: "budget_exhausted" });
    expect(server.seen("tools/call")).toHaveLength(before + 3);
    await redis.stop();
    // Without Redis each replica decides by what it saw itself.
    expect((await other.rpc("/mcp/http", body)).body.error.data.reason).toBe("budget_exhausted");
    expect((await other.rest("GET", "/admin/limits")).body.retry.budget.degraded).toBeGreaterThan(0);
  });
});
