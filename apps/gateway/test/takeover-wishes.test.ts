import { startEverythingServer } from "@gatewright/mcp-fixtures";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openModern } from "./support/modern-client.ts";
import { openRaw } from "./support/raw-client.ts";
import { openSession, type ReplicaSet, startReplicaSet } from "./support/replica-set.ts";
import type { TestGateway } from "./support/test-gateway.ts";

type Everything = Awaited<ReturnType<typeof startEverythingServer>>;

let redis: RedisServer;
let everything: Everything;
let set: ReplicaSet;

beforeAll(async () => {
  [redis, everything] = await Promise.all([startRedis(), startEverythingServer({ era: "modern" })]);
  set = await startReplicaSet(redis, 1);
  await set.register({ name: "fresh", url: everything.url });
});

afterAll(async () => {
  await set[Symbol.asyncDispose]();
  await Promise.all([everything.close(), redis.close()]);
});

const logged = (body: unknown) => String(body).split("notifications/message").length - 1;

describe("a session that another replica goes on with, in front of an upstream that knows no sessions", () => {
  it.each([
    { where: "the upstream's own endpoint", plain: true },
    { where: "an endpoint of several upstreams", plain: false },
  ])("keeps log level, subscriptions and change notices: $where", async ({ plain }) => {
    const [first] = set.replicas as [TestGateway];
    const owner = await set.add();
    const id = [...(owner.core.snapshots.current?.upstreams.keys() ?? [])][0];
    const path = plain ? `/servers/${id}/mcp` : "/mcp";
    const prefix = plain ? "" : "fresh_";
    const uri = `${plain ? "" : "fresh+"}test://watched-resource`;
    await first.core.refresher.ready();
    const session = await openSession(owner, path);
    expect((await session.request(owner, "logging/setLevel", { level: "info" })).body.result).toEqual({});
    for (const subscribed of [uri, `${uri}/gone`]) {
      await session.request(owner, "resources/subscribe", { uri: subscribed });
    }
    await session.request(owner, "resources/unsubscribe", { uri: `${uri}/gone` });
    await owner.close();

    const headers = { "mcp-session-id": session.id, "mcp-protocol-version": "2025-11-25" };
    const stream = await openRaw(first, path, { method: "GET", headers });
    expect(stream.status).toBe(200);
    const heard = () => stream.events.flatMap(({ data }) => (data === undefined ? [] : [data]));
    const call = (name: string) => ({
      jsonrpc: "2.0",
      id: name,
      method: "tools/call",
      params: { name: `${prefix}${name}`, arguments: {} },
    });
    // What was missed is unknown, so that everything is told as changed once; then what changes.
    await eventually(() => heard().some(({ params }) => params?.uri === uri));
    await eventually(() => heard().some(({ method }) => method === "notifications/tools/list_changed"));
    expect(heard().filter(({ params }) => params?.uri === `${uri}/gone`)).toEqual([]);
    const count = heard().length;
    await eventually(async () => {
      await first.rpc(path, call("test_trigger_resource_change"), headers);
      return heard().length > count;
    });
    expect(heard().at(-1)).toMatchObject({ method: "notifications/resources/updated", params: { uri } });
    const { body } = await first.rpc(path, call("test_tool_with_logging"), headers);
    expect(logged(body)).toBe(3);
    expect(await session.delete(first)).toBe(204);
  });

  it("is listened for no more at the replica that had it before", async () => {
    const owner = await set.add();
    const listeners = () => owner.core.hub.stats().listeners;
    const before = listeners();
    const session = await openSession(owner, "/mcp");
    await session.request(owner, "resources/subscribe", { uri: "fresh+test://watched-resource" });
    expect(listeners()).toBe(before + 2);
    owner.core.replicas.handOver();
    expect(owner.core.sessions.size).toBe(0);
    expect(listeners()).toBe(before);
  });

  it("is gone on with when there is room for it, at a replica to which too many listened when it came", async () => {
    const classifier = { enabled: false, refreshIntervalSeconds: 86_400, maxChangeStreams: 0 };
    const full = await set.add({ bridge: { maxListeners: 2 }, classifier });
    const owner = await set.add();
    await full.core.refresher.ready();
    const uri = "fresh+test://watched-resource";
    const session = await openSession(owner, "/mcp");
    expect((await session.request(owner, "resources/subscribe", { uri })).body.result).toEqual({});
    const params = { notifications: { toolsListChanged: true } };
    const others = await Promise.all(
      [1, 2].map(() => openModern(full, { path: "/mcp", method: "subscriptions/listen", params })),
    );
    expect(others.map(({ status }) => status)).toEqual([200, 200]);
    await owner.close();

    const headers = { "mcp-session-id": session.id, "mcp-protocol-version": "2025-11-25" };
    const stream = await openRaw(full, "/mcp", { method: "GET", headers });
    expect(stream.status).toBe(200);
    // Calls do not suffer for it.
    const call = { name: "fresh_test_simple_text", arguments: {} };
    expect((await session.request(full, "tools/call", call)).body.result?.content).toHaveLength(1);
    for (const other of others) other.cut();
    const heard = () => stream.events.map(({ data }) => data?.params?.uri ?? data?.method);
    await eventually(() => heard().includes(uri) && heard().includes("notifications/tools/list_changed"));
    expect(full.core.hub.stats().listeners).toBe(2);
    const count = heard().length;
    await session.request(full, "tools/call", { name: "fresh_test_trigger_resource_change", arguments: {} });
    await eventually(() => heard().length > count);
    expect(heard().at(-1)).toBe(uri);
    expect(await session.delete(full)).toBe(204);
    await eventually(() => full.core.hub.stats().listeners === 0);
  });
});

it("a client is welcome where too many listen, and told of changes once there is room", async () => {
  const classifier = { enabled: false, refreshIntervalSeconds: 86_400, maxChangeStreams: 0 };
  const full = await set.add({ bridge: { maxListeners: 1 }, classifier });
  await full.core.refresher.ready();
  const before = await openSession(full, "/mcp");
  const late = await openSession(full, "/mcp");
  expect(full.core.hub.stats().listeners).toBe(1);
  const headers = { "mcp-session-id": late.id, "mcp-protocol-version": "2025-11-25" };
  const stream = await openRaw(full, "/mcp", { method: "GET", headers });
  expect(await before.delete(full)).toBe(204);
  const heard = () => stream.events.map(({ data }) => data?.method);
  await eventually(() => heard().includes("notifications/tools/list_changed"));
  expect(await late.delete(full)).toBe(204);
});
