import { startCounterServer } from "@gatewright/mcp-fixtures";
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
