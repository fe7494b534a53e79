import {
  eventually,
  type RedisCluster,
  type RedisServer,
  startRedis,
  startRedisCluster,
} from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { classify } from "../src/index.ts";
import { createRedisClassifierStore } from "../src/redis/index.ts";
import { request } from "./support/claim-request.ts";
import { describeStore } from "./support/store-conformance.ts";
import { servers } from "./support/usage.ts";

/** Store time is the server's, so it has to pass. */
const pass = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

let redis: RedisServer;
/** Two seconds before it serves, in which the other tests are made. */
let starting: Promise<RedisCluster>;
beforeAll(async () => {
  starting = startRedisCluster();
  starting.catch(() => undefined);
  redis = await startRedis();
});
afterAll(async () => {
  await redis.close();
  await (await starting).close();
});

let stores = 0;

// Time has to pass for most of it: side by side, each with keys of its own.
describe.concurrent("Redis store, as every store", () => {
  describeStore({
    async open() {
      const prefix = `store${stores++}`;
      const store = () =>
        createRedisClassifierStore({
          client: redis.client(),
          subscriber: redis.client({ commandTimeout: undefined }),
          prefix,
        });
      return { a: store(), b: store() };
    },
    wait: pass,
  });
});

describe("Redis store", () => {
  it("keeps all keys under one hash tag, each with a TTL but the epoch", async () => {
    const client = redis.client();
    await client.flushall();
    const store = createRedisClassifierStore({ client, prefix: "x" });
    await store.acquire("A", 5_000, 0);
    await store.report({
      replicaId: "A",
      seq: 1,
      ttlMs: 5_000,
      entries: [{ serverId: "s1", uses: 1, ageMs: 1, active: 1, sessions: 1 }],
    });
    const classification = classify(servers(3), [], "default", 1);
    await store.publish({ epoch: 1, versionSeen: 0, classification, ttlMs: 9_000 });
    await store.claim([request("abc", "t", { intervalMs: 1, claimMs: 1 })]);
    const keys = (await client.keys("*")).sort();
    const names = ["epoch", "last", "leader", "p:abc", "replicas", "snapshot", "uses"];
    expect(keys).toEqual(names.map((name) => `x:{cls}:${name}`));
    for (const key of keys) {
      expect(key.startsWith("x:{cls}:")).toBe(true);
      const ttl = await client.pttl(key);
      if (key.endsWith(":epoch")) expect(ttl).toBe(-1);
      else expect(ttl).toBeGreaterThan(0);
    }
    expect(await client.pttl("x:{cls}:snapshot")).toBeLessThanOrEqual(9_000);
  });

  it("SC-5 recovers from SCRIPT FLUSH at the next call", async () => {
    const client = redis.client();
    const store = createRedisClassifierStore({ client });
    await store.read();
    await client.script("FLUSH");
    expect((await store.read()).now).toBeGreaterThan(0);
    expect((await store.acquire("Z", 50, 0)).epoch).toBeGreaterThan(0);
  });

  it("reads garbage in its keys as nothing", async () => {
    const client = redis.client();
    await client.flushall();
    const store = createRedisClassifierStore({ client });
    await client.hset("gw:{cls}:snapshot", "#", "{not json");
    expect((await store.read()).snapshot).toBeUndefined();
    await client.set("gw:{cls}:p:x", "garbage|nan|-5|||inf|1e99|-7|me");
    expect((await store.claim([request("x", "t")])).replies[0]).toMatchObject({
      granted: true,
      state: { last: 0, failures: 0 },
    });
    const { now } = await store.read();
    await client.hset("gw:{cls}:replicas", "A", `${now + 60_000}|1|{oops`, "B", "nonsense");
    await client.hset("gw:{cls}:uses", "s1", "many");
    await client.hset("gw:{cls}:last", "s1", "once");
    expect((await store.collect()).usage).toEqual([
      { serverId: "s1", totalUses: 0, lastUsedAt: 0, activeSessions: 0, pooledSessions: 0 },
    ]);
    await client.set("gw:{cls}:leader", "x", "PX", 50);
    await client.set("gw:{cls}:epoch", "garbage");
    await eventually(async () => (await store.acquire("A", 100, 7)).epoch === 8);
  });

  it("SC-6 believes no pause, claim or notice that a clock noted which was ahead by hours", async () => {
    const client = redis.client();
    await client.flushall();
    const store = createRedisClassifierStore({ client });
    const { now } = await store.read();
    const ahead = now + 86_400_000;
    const put = (scope: string, retryAt: number, forcedAt: number, heldAt: number) =>
      client.set(`gw:{cls}:p:${scope}`, `0|1|1|${retryAt}|${forcedAt}|0|${heldAt}|${heldAt}|dead`);
    const granted = async (scope: string) =>
      (await store.claim([request(scope, "t", { maxPauseMs: 900_000 })])).replies[0];
    await put("pause", ahead, 0, 0);
    expect(await granted("pause")).toMatchObject({ granted: true, state: { retryAt: 0 } });
    await put("pause", now + 600_000, 0, 0);
    expect(await granted("pause")).toMatchObject({ granted: false, state: { retryAt: now + 600_000 } });
    await put("claim", 0, 0, ahead);
    expect(await granted("claim")).toMatchObject({ granted: true, state: { holder: "t" } });
    await put("claim", 0, 0, now + 30_000);
    expect(await granted("claim")).toMatchObject({ granted: false, state: { holder: "dead" } });
    await put("notice", 0, ahead, 0);
    const ending = { kind: "forced", debounceMs: 500 } as const;
    const { states } = await store.finish([{ scope: "notice", ending }]);
    expect(states[0]?.forcedAt).toBeLessThan(now + 60_000);
  });

  it("ignores messages that are not its own", async () => {
    const subscriber = redis.client({ commandTimeout: undefined });
    const store = createRedisClassifierStore({ client: redis.client(), subscriber });
    const events: string[] = [];
    store.subscribe((event) => events.push(event));
    await subscriber.subscribe("elsewhere");
    await eventually(async () => {
      await redis.client().publish("gw:cls", "nonsense");
      await redis.client().publish("elsewhere", "published");
      await redis.client().publish("gw:cls", "published");
      return events.length > 0;
    });
    expect(new Set(events)).toEqual(new Set(["published"]));
    await store.close();
  });

  it("hears of events although Redis was away when it began to listen", async () => {
    await using own = await startRedis();
    const publisher = own.client();
    await own.stop();
    const subscriber = own.client({
      lazyConnect: true,
      enableOfflineQueue: false,
      commandTimeout: undefined,
    });
    const store = createRedisClassifierStore({ client: publisher, subscriber });
    const events: string[] = [];
    store.subscribe((event) => events.push(event));
    await own.restart();
    await eventually(async () => {
      await publisher.publish("gw:cls", "published");
      return events.length > 0;
    });
    await store.close();
  });

  it("ends although Redis hangs", async () => {
    const own = await startRedis();
    const subscriber = own.client({ commandTimeout: undefined });
    const store = createRedisClassifierStore({ client: own.client(), subscriber });
    store.subscribe(() => undefined);
    await eventually(async () => (await own.client().pubsub("NUMSUB", "gw:cls"))[1] === 1);
    own.pause();
    const begin = performance.now();
    await store.close();
    expect(performance.now() - begin).toBeLessThan(5_000);
    own.resume();
    await own.close();
  });

  it("SC-9 works on a Cluster of three masters without a cross-slot error", async () => {
    const cluster = await starting;
    const store = createRedisClassifierStore({ client: cluster.client() });
    expect((await store.acquire("A", 5_000, 0)).leader).toBe(true);
    await store.report({
      replicaId: "A",
      seq: 1,
      ttlMs: 5_000,
      entries: [{ serverId: "s1", uses: 1, ageMs: 1, active: 1, sessions: 1 }],
    });
    const { usage, now } = await store.collect();
    const classification = classify(servers(5), usage, "contextforge", now);
    expect((await store.publish({ epoch: 1, versionSeen: 0, classification, ttlMs: 5_000 })).accepted).toBe(
      true,
    );
    expect((await store.read()).snapshot?.servers.get("s1")?.tier).toBe("hot");
    const asked = Array.from({ length: 50 }, (_, i) => request(`scope${i}`, "t", { intervalMs: 1 }));
    const { replies } = await store.claim(asked);
    expect(replies.every(({ granted }) => granted)).toBe(true);
    await store.finish([{ scope: "scope1", ending: { kind: "completed", token: "t" } }]);
    expect(await store.release("A")).toBe(true);
  });
});
