import { createFaultProxy, type FaultProxy } from "@gatewright/db-resilience/testing";
import { startRawServer } from "@gatewright/mcp-fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let raw: Awaited<ReturnType<typeof startRawServer>>;
let proxy: FaultProxy;
let gateway: TestGateway;

beforeAll(async () => {
  raw = await startRawServer();
  const { hostname, port } = new URL(raw.url);
  proxy = await createFaultProxy({ upstream: { host: hostname, port: Number(port) } });
  gateway = await startTestGateway({
    mcpServers: { raw: { url: `http://127.0.0.1:${proxy.port}${new URL(raw.url).pathname}` } },
    bridge: { requestTimeoutMs: 2_000, connectTimeoutMs: 2_000 },
    retry: { maxToolRetries: 0 },
  });
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await proxy.close();
  await raw.close();
});

const call = () =>
  gateway.rpc("/mcp/http", {
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "raw_echo", arguments: { text: "x" } },
  });

describe("an upstream behind a network that fails", () => {
  it("is answered for after a reset and after silence, and served again once it heals", async () => {
    expect((await call()).body).toHaveProperty("result");

    proxy.set({ down: { cutAt: { pattern: "HTTP/1.1", position: "before", mode: "rst" } } });
    const reset = await call();
    expect(reset.body).toMatchObject({ id: 1, error: { data: { code: "outcome_unknown" } } });

    proxy.heal();
    expect((await call()).body).toHaveProperty("result");

    proxy.set({ both: { blackhole: true } });
    const silent = await call();
    expect(silent.body).toMatchObject({ id: 1, error: { data: { code: expect.any(String) } } });
    expect(["upstream_timeout", "outcome_unknown"]).toContain(silent.body.error.data.code);

    proxy.heal();
    await expect.poll(async () => (await call()).body, { timeout: 5_000 }).toHaveProperty("result");
  });
});
