import { type CounterFixture, startCounterServer } from "@gatewright/mcp-fixtures";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSession, type ReplicaSet, startReplicaSet } from "./support/replica-set.ts";
import type { TestGateway } from "./support/test-gateway.ts";

let redis: RedisServer;
let counter: CounterFixture;
let set: ReplicaSet;
let a: TestGateway;
let b: TestGateway;
let path: string;

beforeAll(async () => {
  [redis, counter] = await Promise.all([startRedis(), startCounterServer()]);
  set = await startReplicaSet(redis, 2);
  [a, b] = set.replicas as [TestGateway, TestGateway];
  path = `/servers/${await set.register({ name: "counter", url: counter.url })}/mcp`;
});

afterAll(async () => {
  await set?.[Symbol.asyncDispose]();
  await Promise.all([redis.close(), counter.close()]);
});

describe("a request for a session of another replica", () => {
  it("is answered by its owner: one state, one upstream session", async () => {
    const session = await openSession(a, path);
    const before = counter.stats().sessionsOpened;
    expect(await session.tool(a, "add", { amount: 5 })).toMatchObject({ value: 5 });
    expect(await session.tool(b, "add", { amount: 3 })).toMatchObject({ value: 8 });
    expect(await session.tool(a, "read")).toMatchObject({ value: 8 });
    expect(counter.stats().sessionsOpened).toBe(before);
    expect(b.core.sessions.size).toBe(0);
  });

  it("SP-12 a DELETE at B of a session owned by A closes A's upstream session; nobody else's does anything", async () => {
    const session = await openSession(a, path);
    await session.tool(a, "add", { amount: 1 });
    const closed = counter.stats().sessionsClosed;
    const mallory = await a.mint({ user: "mallory" });
    for (const at of [a, b]) {
      expect(await session.delete(at, mallory)).toBe(403);
      const headers = { authorization: `Bearer ${mallory}` };
      expect((await session.request(at, "tools/list", {}, headers)).status).toBe(403);
    }
    expect(await session.tool(b, "read")).toMatchObject({ value: 1 });
    expect(counter.stats().sessionsClosed).toBe(closed);
    expect(await session.delete(b)).toBe(204);
    await eventually(() => counter.stats().sessionsClosed === closed + 1);
    expect((await session.request(a, "tools/list")).status).toBe(404);
    expect((await session.request(b, "tools/list")).status).toBe(404);
  });
});
