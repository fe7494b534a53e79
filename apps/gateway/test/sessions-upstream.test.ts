import { buildCounterServer, createLedger, startSdkServer } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { openSession } from "./support/replica-set.ts";
import { startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway } from "./support/test-gateway.ts";

describe("an upstream", () => {
  it("is shown its own credentials or none, never what the client showed the gateway", async () => {
    const seen: string[] = [];
    const ledger = createLedger();
    await using upstream = await startSdkServer(
      ({ sessionId }) => buildCounterServer(ledger, sessionId ?? "none"),
      {
        era: "legacy",
        guard: (request) => {
          seen.push(JSON.stringify([...request.headers]));
          return undefined;
        },
      },
    );
    await using gateway = await startTestGateway({ mcpServers: { counter: { url: upstream.url } } });
    const path = `/servers/${await gateway.idOf("counter")}/mcp`;
    const session = await openSession(gateway, path);
    const params = { name: "add", arguments: { amount: 1 } };
    const planted = { cookie: "planted-cookie=1", "x-api-key": "planted-key", "x-user-id": "planted-user" };
    expect((await session.request(gateway, "tools/call", params, planted)).status).toBe(200);
    expect(seen.length).toBeGreaterThan(2);
    for (const headers of seen) {
      expect(headers).not.toContain(gateway.token);
      expect(headers).not.toContain("authorization");
      expect(headers).not.toContain("planted");
    }
  });

  it("is asked whether a session still lives that was idle: one that lacks the question is kept, one that fails is not", async () => {
    await using upstream = await startScriptedServer();
    await using gateway = await startTestGateway({
      sessions: { idleCheckMs: 1_000 },
      classifier: { enabled: false, refreshIntervalSeconds: 86_400 },
      mcpServers: { scripted: { url: upstream.url } },
    });
    const { core } = gateway;
    await core.refresher.ready();
    const session = await openSession(gateway, `/servers/${await gateway.idOf("scripted")}/mcp`);
    const call = async () => {
      const { body } = await session.request(gateway, "tools/call", { name: "read", arguments: {} });
      expect(body.result).toBeDefined();
    };
    const idle = async () => {
      const sinceMs = performance.now();
      await eventually(() => performance.now() - sinceMs > 1_100);
    };
    await call();
    upstream.script("server/discover", { error: { code: -32_601, message: "Method not found" } });
    await idle();
    const listed = upstream.seen("tools/list").length;
    await call();
    expect(upstream.seen("tools/list")).toHaveLength(listed + 1);
    expect(core.pool.stats()).toMatchObject({ probeFailures: 0 });
    const { misses } = core.pool.stats();

    upstream.script("server/discover", { error: { code: -32_603, message: "Internal error" } });
    await idle();
    await call();
    expect(core.pool.stats()).toMatchObject({
      probeFailures: 1,
      evictions: { unhealthy: 1 },
      misses: misses + 1,
    });
  });
});
