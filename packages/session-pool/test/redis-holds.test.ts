import { randomUUID } from "node:crypto";
import { createRedisOwnership } from "@gatewright/session-pool/redis";
import { eventually, startRedis, startRedisCluster } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { quick, sealKey, signKey, startReplica } from "./support/replica.ts";

const http = (serverId: string) => ({ serverId, sessionId: `up-${serverId}`, resumable: true });

describe("on Redis Cluster", () => {
  it("every script stays on one slot, and notices reach every node's subscribers", async () => {
    const cluster = await startRedisCluster();
    const evicted: unknown[] = [];
    const make = (subscribe: boolean) =>
      createRedisOwnership(
        {
          advertiseUrl: "http://a",
          sealKeys: [sealKey],
          signKeys: [signKey],
          ...quick,
          pollMs: 2_000_000_000,
        },
        {
          redis: cluster.client(),
          ...(subscribe ? { subscriber: cluster.client() } : {}),
          onEvict: (notice) => evicted.push(notice),
          onOwnershipLost: () => {},
        },
      );
    const [a, b] = [make(true), make(false)];
    await a.start();
    await b.start();
    for (let i = 0; i < 12; i++) {
      const session = randomUUID();
      await a.claim(session, "ann");
      await a.save(session, [http("s1")]);
      expect(await b.locate(session, "ann")).toMatchObject({ kind: "remote" });
      expect(await b.reclaim(session, "ann")).toMatchObject({ kind: "alive" });
      expect(await b.end(session, "ann")).toBe("ended");
    }
    await eventually(() => evicted.length === 12);
    await Promise.all([a.close(), b.close()]);
    await cluster.close();
  });
});

describe("what Redis holds", () => {
  it("SP-14 contains no session id, principal or upstream id in clear", async () => {
    const own = await startRedis();
    const a = await startReplica(own);
    const session = "planted-session-id";
    await a.ownership.claim(session, "planted@example.com");
    await a.ownership.save(session, [{ serverId: "s1", sessionId: "planted-upstream", resumable: true }]);
    await a.ownership.serverChanged("s1");
    await a.ownership.end(session, "planted@example.com");
    await a.ownership.claim("planted-two", "planted@example.com");
    await a.ownership.save("planted-two", [
      { serverId: "s1", sessionId: "planted-upstream", resumable: true },
    ]);
    const client = own.client();
    const dump: unknown[] = [];
    for (const key of await client.keys("*")) {
      const type = await client.type(key);
      dump.push(
        key,
        type === "hash"
          ? await client.hgetall(key)
          : type === "zset"
            ? await client.zrange(key, "0", "-1")
            : await client.get(key),
      );
    }
    expect(dump.length).toBeGreaterThan(6);
    expect(JSON.stringify(dump)).not.toContain("planted");
    expect(JSON.stringify(a.ownership.stats())).not.toContain("planted");
    await a.ownership.close();
    await own.close();
  });
});
