import { type CounterFixture, startCounterServer } from "@gatewright/mcp-fixtures";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openSession, startReplicaProcess, startReplicaSet } from "./support/replica-set.ts";

let redis: RedisServer;
let counter: CounterFixture;

beforeAll(async () => {
  [redis, counter] = await Promise.all([startRedis(), startCounterServer()]);
});

afterAll(() => Promise.all([redis.close(), counter.close()]));

const owners = { heartbeatMs: 300, deadAfterMs: 1_500, connectTimeoutMs: 500, silenceMs: 2_000 };

// Slow: the owner is a process of its own, and has to be silent for as long as a dead one.
it("an owner that was frozen and succeeded executes nothing of what waited for it, and hands on what it is asked", {
  timeout: 90_000,
}, async () => {
  await using set = await startReplicaSet(redis, 1, { sessions: { owners } });
  const [b] = set.replicas;
  const path = `/servers/${await set.register({ name: "counter", url: counter.url })}/mcp`;
  await using owner = await startReplicaProcess(redis, set, owners);
  const session = await openSession(owner, path);
  expect(await session.tool(b!, "add", { amount: 5 })).toMatchObject({ value: 5 });
  const { sessionsOpened, sessionsClosed } = counter.stats();

  owner.pause();
  const parked = session.request(b!, "tools/call", { name: "add", arguments: { amount: 100 } });
  const direct = session.tool(owner, "add", { amount: 3 });
  expect((await parked).body.error.data).toMatchObject({ code: "outcome_unknown", retryable: false });
  await eventually(async () => (await session.request(b!, "ping")).status === 200, { timeoutMs: 20_000 });
  expect(await session.tool(b!, "add", { amount: 1 })).toMatchObject({ value: 6 });

  owner.resume();
  expect(await direct).toMatchObject({ value: 9 });
  // The parked request has been looked at, whatever its sender's end looks like by now.
  await eventually(async () => {
    const { body } = await owner.rest("GET", "/metrics");
    const counts = String(body).matchAll(/_seconds_count\{[^}]*route="\/internal\/forward"[^}]*\} (\d+)/g);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0) === 2;
  });
  expect(await session.tool(owner, "add", { amount: 2 })).toMatchObject({ value: 11 });
  expect(await session.tool(b!, "read")).toMatchObject({ value: 11 });
  expect(counter.stats()).toMatchObject({ sessionsOpened, sessionsClosed });
  expect(await session.delete(owner)).toBe(204);
  await eventually(() => counter.stats().sessionsClosed === sessionsClosed + 1);
});
