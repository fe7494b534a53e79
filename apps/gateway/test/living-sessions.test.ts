import { buildCounterServer, createLedger, startSdkServer } from "@gatewright/mcp-fixtures";
import { expect, it } from "vitest";
import { openSession } from "./support/replica-set.ts";
import { startTestGateway } from "./support/test-gateway.ts";

it("SP-11 a session whose client only pings, or only listens, keeps its upstream session and the state in it", async () => {
  const ledger = createLedger();
  const up = await startSdkServer(({ sessionId }) => buildCounterServer(ledger, sessionId ?? ""), {
    era: "legacy",
  });
  await using gateway = await startTestGateway({
    limits: { downstreamIdleMs: 1_000 },
    mcpServers: { counter: { url: up.url } },
  });
  const path = `/servers/${await gateway.idOf("counter")}/mcp`;
  const [pinging, listening] = [await openSession(gateway, path), await openSession(gateway, path)];
  for (const session of [pinging, listening]) await session.tool(gateway, "add", { amount: 5 });
  const stream = new AbortController();
  // The answer must stay referenced: undici cancels the stream of a response that is garbage collected.
  const events = await fetch(`${gateway.url}${path}`, {
    headers: {
      authorization: `Bearer ${gateway.token}`,
      accept: "text/event-stream",
      "mcp-session-id": listening.id,
      "mcp-protocol-version": "2025-11-25",
    },
    signal: stream.signal,
  });
  for (const begin = performance.now(); performance.now() - begin < 2_500; ) {
    await pinging.request(gateway, "ping");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(gateway.core.pool.stats().evictions).toEqual({});
  expect(await pinging.tool(gateway, "read")).toMatchObject({ value: 5 });
  expect(await listening.tool(gateway, "read")).toMatchObject({ value: 5 });
  expect(events.status).toBe(200);
  stream.abort();
  await up.close();
});
