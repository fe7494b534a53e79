import { type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createMemoryFenceStore, type FenceStore } from "../src/index.ts";
import { createRedisFenceStore } from "../src/redis/index.ts";

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.close());

const fence = (timeline: number, branch: string, systemIdentifier = "1", era = 0) => ({
  era,
  timeline,
  branch,
  systemIdentifier,
});
let prefixes = 0;

describe.each<[string, () => FenceStore]>([
  ["memory", createMemoryFenceStore],
  ["redis", () => createRedisFenceStore(redis.client(), { prefix: `p${++prefixes}` })],
])("fence store: %s", (_name, create) => {
  it("is empty at first, takes the first fence and then only higher timelines", async () => {
    const store = create();
    expect(await store.read()).toBeUndefined();
    expect(await store.raise(fence(2, "a"))).toEqual(fence(2, "a"));
    expect(await store.raise(fence(1, "b"))).toEqual(fence(2, "a"));
    expect(await store.raise(fence(10, "c"))).toEqual(fence(10, "c"));
    expect(await store.read()).toEqual(fence(10, "c"));
  });

  it("keeps the first branch of a timeline", async () => {
    const store = create();
    await store.raise(fence(2, "a"));
    expect(await store.raise(fence(2, "b"))).toEqual(fence(2, "a"));
  });

  it("takes a timeline that was only seen, and then its first branch", async () => {
    const store = create();
    await store.raise(fence(1, "a"));
    expect(await store.raise(fence(2, ""))).toEqual(fence(2, ""));
    expect(await store.raise(fence(1, "a"))).toEqual(fence(2, ""));
    expect(await store.raise(fence(2, "b"))).toEqual(fence(2, "b"));
    expect(await store.raise(fence(2, ""))).toEqual(fence(2, "b"));
    expect(await store.raise(fence(2, "c"))).toEqual(fence(2, "b"));
  });

  it("is not raised by another cluster", async () => {
    const store = create();
    await store.raise(fence(2, "a"));
    expect(await store.raise(fence(3, "b", "other"))).toEqual(fence(2, "a"));
  });

  it("overruled by an operator begins an era in which nothing was seen, and takes nothing of an earlier one", async () => {
    const store = create();
    expect(await store.overrule(0)).toEqual(fence(0, "", "", 1));
    await store.raise(fence(5, "a", "1", 1));
    expect(await store.overrule(0)).toEqual(fence(0, "", "", 2));
    expect(await store.read()).toEqual(fence(0, "", "", 2));
    expect(await store.raise(fence(6, "a", "1", 1))).toEqual(fence(0, "", "", 2));
    expect(await store.raise(fence(1, "z", "other", 2))).toEqual(fence(1, "z", "other", 2));
    // One that has forgotten is told by those who remember a later era.
    expect(await store.overrule(7)).toEqual(fence(0, "", "", 8));
    expect(await store.raise(fence(1, "y", "1", 9))).toEqual(fence(1, "y", "1", 9));
  });

  it("lets one of many concurrent raises win", async () => {
    const store = create();
    const results = await Promise.all(Array.from({ length: 20 }, (_, i) => store.raise(fence(4, `b${i}`))));
    expect(new Set(results.map(({ branch }) => branch)).size).toBe(1);
  });
});

describe("createRedisFenceStore", () => {
  it("stores a key without an expiry under its prefix", async () => {
    const client = redis.client();
    await createRedisFenceStore(client).raise(fence(3, "x"));
    expect(await client.get("gw:{db}:fence")).toBe("3|1|x|0");
    expect(await client.ttl("gw:{db}:fence")).toBe(-1);
  });
});
