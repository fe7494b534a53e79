import {
  eventually,
  type PostgresServer,
  type RedisServer,
  startPostgres,
  startRedis,
} from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { startTestGateway } from "./support/test-gateway.ts";

let postgres: PostgresServer;
let redis: RedisServer;

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
});
afterAll(() => Promise.all([postgres.close(), redis.close()]));

/** Two replicas whose poll comes too late for this test. */
async function replicas(more: Record<string, unknown>) {
  const config = { database: { url: postgres.url, pollMs: 600_000 }, ...more };
  const both = [await startTestGateway(config), await startTestGateway(config)] as const;
  onTestFinished(async () => {
    for (const gateway of both) await gateway[Symbol.asyncDispose]();
  });
  return both;
}

describe("replicas over one PostgreSQL hear at once what another has changed", () => {
  it.each([
    ["NOTIFY", () => ({})],
    ["Redis", () => ({ redis: { url: redis.url } })],
  ])("by %s", async (way, more) => {
    const [first, second] = await replicas(more());
    const names = () =>
      [...(second.core.snapshots.current?.upstreams.values() ?? [])].map((known) => known.name);
    // The listener may still be on its way to its server: then it hears of the next change.
    let count = 0;
    await eventually(
      async () => {
        const name = `${way.toLowerCase()}-${count++}`;
        const made = await first.rest("POST", "/api/servers", { name, url: "http://127.0.0.1:9/mcp" });
        expect(made.status).toBe(201);
        await eventually(() => names().includes(name), { timeoutMs: 1_000 });
      },
      { timeoutMs: 15_000 },
    );
  });
});
