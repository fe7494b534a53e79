import { startCounterServer, startSlowServer } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { openSession } from "./support/replica-set.ts";
import { startTestGateway } from "./support/test-gateway.ts";

it("GET /admin/sessions shows the pool, its servers and keys, the queue and who owns what, and no secret", async () => {
  const counter = await startCounterServer();
  await using gateway = await startTestGateway({ mcpServers: { counter: { url: counter.url } } });
  await gateway.core.refresher.ready();
  const id = await gateway.idOf("counter");
  const session = await openSession(gateway, `/servers/${id}/mcp`);
  await session.tool(gateway, "add", { amount: 1 });
  await session.tool(gateway, "add", { amount: 1 });
  const { status, body } = await gateway.rest("GET", "/admin/sessions");
  expect(status).toBe(200);
  expect(body).toMatchObject({
    replica: gateway.core.replicas.selfId,
    clients: 1,
    owned: [{ endpoint: id, epoch: 1, certain: true, streaming: false, calls: 0, upstreams: [id] }],
    upstreams: { queueDepth: 0, leases: 0, evictions: {}, probeFailures: 0, breakerTrips: 0 },
  });
  expect(body.upstreams.hits).toBeGreaterThanOrEqual(2);
  expect(body.upstreams.waits).toBeDefined();
  expect(body.upstreams.perServer).toContainEqual(
    expect.objectContaining({ serverId: id, sessions: 1, breaker: "closed" }),
  );
  expect(body.upstreams.perKey).toContainEqual(
    expect.objectContaining({ serverId: id, strategy: "downstream" }),
  );
  expect(JSON.stringify(body)).not.toContain(session.id);
  expect(JSON.stringify(body)).not.toContain("tester");
  const mine = await gateway.mint({ scopes: ["mcp"] });
  expect((await gateway.rest("GET", "/admin/sessions", undefined, mine)).status).toBe(403);
  await counter.close();
});

it("GET /metrics says how many calls hold a session of an upstream, and how many wait for one", async () => {
  await using slow = await startSlowServer();
  await using gateway = await startTestGateway({
    mcpServers: { slow: { url: slow.url, maxConcurrencyPerSession: 1 } },
  });
  await gateway.core.refresher.ready();
  const id = await gateway.idOf("slow");
  const session = await openSession(gateway, `/servers/${id}/mcp`);
  const calls = Array.from({ length: 3 }, () => session.tool(gateway, "slow", { ms: 500 }));
  const metrics = async () => String((await gateway.rest("GET", "/metrics")).body);
  const busy = await eventually(async () => {
    const text = await metrics();
    return text.includes("gatewright_session_queue_depth 2") && text;
  });
  expect(busy).toContain("gatewright_session_leases 1");
  expect(busy).toContain(`gatewright_sessions_active{server="${id}"} 1`);
  await Promise.all(calls);
  const idle = await metrics();
  expect(idle).toContain("gatewright_session_queue_depth 0");
  expect(idle).toContain("gatewright_session_leases 0");
  expect(Number(/gatewright_session_hit_ratio ([\d.]+)/.exec(idle)?.[1])).toBeGreaterThanOrEqual(0.5);
});
