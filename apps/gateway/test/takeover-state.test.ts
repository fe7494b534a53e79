import { buildCounterServer, createLedger, startSdkServer } from "@gatewright/mcp-fixtures";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { startEverythingHttp } from "./support/public-servers.ts";
import { openSession, startReplicaSet } from "./support/replica-set.ts";

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.close());

/** A counter server that takes log levels; with `hang` it does not answer those that are set. */
async function loggingCounter() {
  const levels = { set: 0, hang: false };
  const server = await startSdkServer(
    ({ sessionId }) => {
      const counter = buildCounterServer(createLedger(), sessionId ?? "");
      counter.server.registerCapabilities({ logging: {} });
      counter.server.setRequestHandler("logging/setLevel", () => {
        levels.set++;
        return levels.hang ? new Promise(() => undefined) : {};
      });
      return counter;
    },
    { era: "legacy" },
  );
  onTestFinished(() => server.close());
  return { server, levels };
}

it("SP-13 a session that is taken over keeps its state, also when the upstream does not take its log level", async () => {
  const { server, levels } = await loggingCounter();
  await using set = await startReplicaSet(redis, 2, { bridge: { connectTimeoutMs: 400 } });
  const [a, b] = set.replicas;
  await set.register({ name: "counter", url: server.url });
  const session = await openSession(a!, "/mcp");
  expect((await session.request(a!, "logging/setLevel", { level: "info" })).status).toBe(200);
  expect(await session.tool(a!, "counter_add", { amount: 5 })).toMatchObject({ value: 5 });
  const before = levels.set;
  levels.hang = true;
  await a!.close();
  expect(await session.tool(b!, "counter_add", { amount: 1 })).toMatchObject({ value: 6 });
  expect(levels.set).toBe(before + 1);
});

it("an upstream that does not answer a log level is called all the same", async () => {
  const { server, levels } = await loggingCounter();
  await using set = await startReplicaSet(redis, 1, { bridge: { connectTimeoutMs: 2_500 } });
  const [gateway] = set.replicas;
  await set.register({ name: "counter", url: server.url });
  const session = await openSession(gateway!, "/mcp");
  await session.request(gateway!, "logging/setLevel", { level: "info" });
  levels.hang = true;
  expect(await session.tool(gateway!, "counter_add", { amount: 5 })).toMatchObject({ value: 5 });
});

it("a session whose upstream keeps no sessions for others any more, when it is taken over, is opened anew there", async () => {
  const { server } = await loggingCounter();
  await using other = await startEverythingHttp("sse");
  await using set = await startReplicaSet(redis, 2);
  const [a, b] = set.replicas;
  const id = await set.register({ name: "counter", url: server.url });
  const session = await openSession(a!, `/servers/${id}/mcp`);
  await session.tool(a!, "add", { amount: 5 });
  await a!.close();
  const { snapshots, registry } = b!.core;
  const record = snapshots.current!.upstreams.get(id)!;
  await registry.updateUpstream(id, {
    definition: { ...record.definition, url: other.url, transport: "sse" },
  });
  await snapshots.refresh();
  const call = () => session.request(b!, "tools/call", { name: "echo", arguments: { message: "new" } });
  await eventually(async () => (await call()).body.result !== undefined);
});
