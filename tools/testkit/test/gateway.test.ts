import { describe, expect, it } from "vitest";
import { startGateway, startGatewayReplicas } from "../src/index.ts";

describe("startGateway", () => {
  it("starts from source, is live, and ends in good order", async () => {
    await using gateway = await startGateway();
    expect((await fetch(`${gateway.url}/health/live`)).status).toBe(200);
    expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    await expect(fetch(`${gateway.url}/health/live`)).rejects.toThrow();
  });

  it("takes configuration and hands out tokens that the gateway accepts", async () => {
    await using gateway = await startGateway({
      env: { AUTH_REQUIRED: "true" },
      config: { observability: { logLevel: "warn" } },
    });
    const gateways = (token?: string) =>
      fetch(`${gateway.url}/gateways`, token ? { headers: { authorization: `Bearer ${token}` } } : {});
    expect((await gateways()).status).toBe(401);
    expect((await gateways(gateway.token)).status).toBe(200);
    expect((await gateways(gateway.mintToken({ expiresInSeconds: -600 }))).status).toBe(401);
  });

  it("says why a gateway does not start", async () => {
    await expect(startGateway({ config: { nonsense: true } })).rejects.toThrow(/nonsense/);
  });

  it("starts replicas with ports of their own, and one again after a kill", async () => {
    const replicas = await startGatewayReplicas(2);
    const [first] = replicas;
    expect(new Set(replicas.map(({ port }) => port)).size).toBe(2);
    await first?.kill();
    expect(first?.running).toBe(false);
    await first?.restart();
    expect((await fetch(`${first?.url}/health/live`)).status).toBe(200);
    await Promise.all(replicas.map((replica) => replica.close()));
  });
});
