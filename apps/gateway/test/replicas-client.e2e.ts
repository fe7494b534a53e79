import { startCounterServer } from "@gatewright/mcp-fixtures";
import { eventually, type RedisServer, startBalancer, startRedis } from "@gatewright/testkit";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startReplicaSet } from "./support/replica-set.ts";

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.close());

it("three replicas behind a round-robin balancer serve one stateful session of the official client", async () => {
  const counter = await startCounterServer();
  await using set = await startReplicaSet(redis, 3);
  const path = `/servers/${await set.register({ name: "counter", url: counter.url })}/mcp`;
  await using balancer = await startBalancer(set.replicas.map(({ url }) => url));
  const transport = new StreamableHTTPClientTransport(new URL(`${balancer.url}${path}`), {
    requestInit: { headers: { authorization: `Bearer ${set.replicas[0]!.token}` } },
  });
  const client = new Client({ name: "official", version: "1" });
  await client.connect(transport);
  expect((await client.listTools()).tools.map(({ name }) => name)).toContain("add");
  for (let count = 1; count <= 30; count++) {
    const { structuredContent } = await client.callTool({ name: "add", arguments: { amount: 1 } });
    expect(structuredContent).toMatchObject({ value: count });
  }
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => client.callTool({ name: "add", arguments: { amount: 1 } })),
  );
  const values = answers.map(({ structuredContent }) => (structuredContent as { value: number }).value);
  expect(values.sort((one, other) => one - other)).toEqual([31, 32, 33, 34, 35, 36, 37, 38, 39, 40]);
  // Every replica was asked, one holds the session, and upstream there was one all the time.
  for (const { url } of set.replicas) expect(balancer.sent[url]).toBeGreaterThan(10);
  expect(set.replicas.map(({ core }) => core.sessions.size).sort()).toEqual([0, 0, 1]);
  const upstream = () =>
    set.replicas
      .flatMap(({ core }) => core.pool.stats().perKey)
      .filter((key) => key.strategy === "downstream");
  expect(upstream().map(({ sessions }) => sessions)).toEqual([1]);
  const closed = counter.stats().sessionsClosed;
  await transport.terminateSession();
  await eventually(() => counter.stats().sessionsClosed > closed);
  await eventually(() => upstream().length === 0);
  expect(set.replicas.map(({ core }) => core.sessions.size)).toEqual([0, 0, 0]);
  await client.close();
  await counter.close();
});
