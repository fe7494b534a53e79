import { fixtureCommand, startCounterServer } from "@gatewright/mcp-fixtures";
import { describe, expect, it } from "vitest";
import { openSession } from "./support/replica-set.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

/** What is listed in the background is not what these tests are about. */
const quiet = { classifier: { enabled: false, refreshIntervalSeconds: 86_400 } };

/** Shakes hands with capabilities that no server takes. */
async function openBadly(gateway: TestGateway, path: string) {
  const authorization = `Bearer ${await gateway.mint({ user: "mallory" })}`;
  const params = {
    protocolVersion: "2025-11-25",
    capabilities: { elicitation: "nonsense" },
    clientInfo: { name: "bad", version: "1" },
  };
  const body = { jsonrpc: "2.0", id: 0, method: "initialize", params };
  return (await gateway.rpc(path, body, { authorization })).body.error;
}

describe.concurrent("what an upstream refuses one caller is not held against others", () => {
  it("SP-9 a handshake that it refuses for what the client says does not open its breaker", async () => {
    await using counter = await startCounterServer();
    await using gateway = await startTestGateway({ ...quiet, mcpServers: { counter: { url: counter.url } } });
    await gateway.core.refresher.ready();
    const path = `/servers/${await gateway.idOf("counter")}/mcp`;
    for (let count = 0; count < 8; count++) expect(await openBadly(gateway, path)).toBeDefined();
    const session = await openSession(gateway, path, await gateway.mint({ user: "ann" }));
    expect(await session.tool(gateway, "add", { amount: 1 })).toMatchObject({ value: 1 });
    expect(gateway.core.pool.stats().breakerTrips).toBe(0);
  });

  it("SP-9 nor does one that a program refuses, which is started for others as if nothing had been", async () => {
    const program = { ...fixtureCommand("counter-stdio"), env: { FIXTURE_ERA: "legacy" } };
    // Without repeats: each would start the program again.
    const plugins = [{ name: "retry", mode: "disabled" }];
    await using gateway = await startTestGateway({ ...quiet, plugins, mcpServers: { program } });
    await gateway.core.refresher.ready();
    const path = `/servers/${await gateway.idOf("program")}/mcp`;
    const refused = await Promise.all(Array.from({ length: 6 }, () => openBadly(gateway, path)));
    for (const error of refused) expect(error.message).toContain("refused initialize");
    const begin = performance.now();
    const session = await openSession(gateway, path, await gateway.mint({ user: "ann" }));
    expect(await session.tool(gateway, "add", { amount: 1 })).toMatchObject({ value: 1 });
    expect(performance.now() - begin).toBeLessThan(5_000);
    expect(gateway.core.pool.stats().breakerTrips).toBe(0);
  });

  it("SP-9 nor do credentials that it forbids", async () => {
    await using counter = await startCounterServer({
      guard: ({ headers }) =>
        headers.get("authorization") === "Bearer barred" ? new Response("no", { status: 403 }) : undefined,
    });
    await using gateway = await startTestGateway(quiet);
    const auth = { type: "per_user", users: { mallory: { type: "bearer", token: "barred" } } };
    const made = await gateway.rest("POST", "/gateways", { name: "counter", url: counter.url, auth });
    const path = `/servers/${made.body.id}/mcp`;
    const mallory = await gateway.mint({ user: "mallory" });
    for (let count = 0; count < 8; count++) {
      await expect(openSession(gateway, path, mallory)).rejects.toThrow("no session");
    }
    const session = await openSession(gateway, path, await gateway.mint({ user: "ann" }));
    expect(await session.tool(gateway, "add", { amount: 1 })).toMatchObject({ value: 1 });
  });
});
