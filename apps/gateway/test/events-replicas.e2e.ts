import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CounterFixture, startCounterServer } from "@gatewright/mcp-fixtures";
import {
  eventually,
  type Gateway,
  type RedisServer,
  startGatewayReplicas,
  startRedis,
} from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openEvents } from "./support/events-client.ts";
import { hello } from "./support/socket-client.ts";

let folder: string;
let redis: RedisServer;
let counter: CounterFixture;
let a: Gateway;
let b: Gateway;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-events-"));
  [redis, counter] = await Promise.all([startRedis(), startCounterServer()]);
  const replicas = await startGatewayReplicas(2, {
    env: {
      REDIS_URL: redis.url,
      DATABASE_URL: `sqlite:${join(folder, "registry.db")}`,
      AUTH_REQUIRED: "true",
    },
    config: {
      mcpServers: { counter: { url: counter.url } },
      sessions: { owners: { heartbeatMs: 200, deadAfterMs: 2_000, connectTimeoutMs: 1_000 } },
    },
  });
  [a, b] = replicas as [Gateway, Gateway];
});

afterAll(async () => {
  await Promise.all([a.close(), b.close()]);
  await Promise.all([redis.close(), counter.close()]);
  await rm(folder, { recursive: true, force: true });
});

const add = (id: number, amount: number) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name: "counter_add", arguments: { amount } },
});

describe("a stream of the transport of 2024-11-05, held by one replica of two", () => {
  it("gets the answers to messages that were posted to the other", async () => {
    await using client = await openEvents(a);
    const opened = await client.post({ jsonrpc: "2.0", ...hello() }, {}, b);
    expect(opened).toMatchObject({ status: 202, body: "" });
    await client.find(({ id }) => id === "hello");
    expect((await client.post(add(1, 5), {}, b)).status).toBe(202);
    expect((await client.post(add(2, 3), {}, a)).status).toBe(202);
    await client.find(({ id }) => id === 1);
    const second = await client.find(({ id }) => id === 2);
    expect(JSON.stringify(second.result)).toContain("8");
  });

  it("is not another user's at the other replica either", async () => {
    await using client = await openEvents(a);
    const authorization = `Bearer ${b.mintToken({ user: "mallory" })}`;
    const foreign = await client.post({ jsonrpc: "2.0", id: 1, method: "ping" }, { authorization }, b);
    expect(foreign).toMatchObject({ status: 403, body: { id: 1, error: { code: -31005 } } });
  });

  it("is unknown at the other replica once it has closed", async () => {
    const client = await openEvents(a);
    await client.post({ jsonrpc: "2.0", ...hello() }, {}, b);
    await client[Symbol.asyncDispose]();
    await eventually(
      async () => (await client.post({ jsonrpc: "2.0", id: 1, method: "ping" }, {}, b)).status === 404,
    );
  });

  // Slow because the owner has to be taken for dead first.
  it("is over with its replica: 503 with Retry-After until that counts as dead, then 404", async () => {
    await using client = await openEvents(a);
    await client.ask(hello());
    await a.kill();
    await eventually(() => client.ended());
    const ping = { jsonrpc: "2.0", id: 1, method: "ping" };
    const early = await client.post(ping, {}, b);
    expect(early).toMatchObject({
      status: 503,
      body: { error: { data: { code: "session_owner_unreachable" } } },
    });
    expect(Number(early.headers.get("retry-after"))).toBeGreaterThan(0);
    await eventually(async () => (await client.post(ping, {}, b)).status === 404, { timeoutMs: 15_000 });
    // Nobody goes on with it, also not the one who was asked.
    expect((await client.post(ping, {}, b)).status).toBe(404);
    await using again = await openEvents(b);
    await again.ask(hello());
  });
});
