import {
  eventually,
  type PostgresServer,
  type RedisServer,
  startPostgres,
  startRedis,
} from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { openAt, upstreamInput } from "./support/registries.ts";
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
  it("also when a failover has lost the change before it, which they had read", async () => {
    await postgres.query("create database news");
    const url = postgres.url.replace(/postgres$/, "news");
    const [first, second] = [await openAt(url, { pollMs: 600_000 }), await openAt(url, { pollMs: 600_000 })];
    onTestFinished(async () => {
      await Promise.all([first.close(), second.close()]);
    });
    let heard = 0;
    second.onChange(() => void heard++);
    let count = 0;
    const hears = async (timeoutMs: number) => {
      heard = 0;
      await first.createUpstream(upstreamInput(`made-${count++}`));
      await eventually(() => heard > 0, { timeoutMs });
      await second.contents();
    };
    // The listener may still be on its way to its server: then it hears of the next change.
    await eventually(() => hears(1_000).then(() => true), { timeoutMs: 15_000 });
    const admin = await postgres.client({ database: "news" });
    const { rows } = await admin.query("select version from registry_version");
    await hears(5_000);
    await admin.query("update registry_version set version = $1", [rows[0]?.version]);
    await admin.end();
    await hears(5_000);
  });

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
