import { afterAll, describe, expect, it } from "vitest";
import { eventually, startRedis, startRedisCluster, startRedisSentinel } from "../src/index.ts";

describe("startRedis", () => {
  it("answers on a port below the ephemeral range and keeps nothing by default", async () => {
    await using redis = await startRedis();
    expect(redis.port).toBeLessThan(22_768);
    const client = redis.client();
    expect(await client.set("a", "1")).toBe("OK");
    await redis.restart();
    expect(await eventually(() => client.get("a"))).toBeNull();
  });

  it("finds its data again after a kill when persist is set, on the same port", async () => {
    await using redis = await startRedis({ persist: true });
    const client = redis.client();
    await client.set("a", "1");
    await redis.kill();
    expect(redis.running).toBe(false);
    await redis.restart();
    expect(await eventually(() => client.get("a"))).toBe("1");
  });

  it("stops answering while paused, with connections open, and goes on after resume", async () => {
    await using redis = await startRedis();
    const client = redis.client({ commandTimeout: 100 });
    await client.ping();
    redis.pause();
    await expect(client.ping()).rejects.toThrow(/timed out/i);
    redis.resume();
    expect(await eventually(() => client.ping())).toBe("PONG");
  });

  it("can be stopped while paused", async () => {
    await using redis = await startRedis();
    redis.pause();
    await redis.stop();
    expect(redis.running).toBe(false);
  });

  it("gives many parallel starters different ports", async () => {
    const servers = await Promise.all(Array.from({ length: 12 }, () => startRedis()));
    expect(new Set(servers.map((server) => server.port)).size).toBe(12);
    const ids = await Promise.all(
      servers.map(async (server) => /process_id:(\d+)/.exec(await server.client().info("server"))?.[1]),
    );
    expect(ids).toEqual(servers.map((server) => String(server.pid)));
    await Promise.all(servers.map((server) => server.close()));
  });

  it("reports the server's own words when it cannot start", async () => {
    await expect(startRedis({ args: ["--no-such-option", "1"] })).rejects.toThrow(/no-such-option/);
  });
});

describe("startRedisCluster", () => {
  it("spreads keys over three masters", async () => {
    await using cluster = await startRedisCluster();
    const client = cluster.client();
    await Promise.all(Array.from({ length: 30 }, (_, i) => client.set(`key${i}`, String(i))));
    expect(await client.get("key7")).toBe("7");
    const sizes = await Promise.all(cluster.nodes.map((node) => node.client().dbsize()));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(30);
    expect(sizes.every((size) => size > 0)).toBe(true);
  });
});

describe("startRedisSentinel", () => {
  const started = startRedisSentinel();
  afterAll(async () => (await started).close());

  it("fails over to the replica when the master dies", async () => {
    const sentinel = await started;
    const client = sentinel.client();
    await client.set("a", "1");
    await client.call("WAIT", 1, 1_000);
    const before = await sentinel.master();
    await before.kill();
    await eventually(() => client.set("b", "2"), { timeoutMs: 15_000, intervalMs: 50 });
    // The sentinel that is asked may hear of the new master later than the one the client asked.
    await eventually(async () => expect((await sentinel.master()).port).not.toBe(before.port));
    expect(await client.get("a")).toBe("1");
  });
});
