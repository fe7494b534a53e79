import { randomUUID } from "node:crypto";
import { isSessionPoolError } from "@gatewright/session-pool";
import { createRedisOwnership } from "@gatewright/session-pool/redis";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { quick, sealKey, signKey, startReplica } from "./support/replica.ts";

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.close());

const http = (serverId: string) => ({ serverId, sessionId: `up-${serverId}`, resumable: true });

// They mostly wait, each for a Redis of its own.
describe.concurrent("without Redis", () => {
  it("says backend_unavailable, becomes uncertain, and recovers by itself with its sessions", async () => {
    const own = await startRedis();
    const a = await startReplica(own, { sessionTtlMs: 600_000 });
    const b = await startReplica(own, { sessionTtlMs: 600_000 });
    const session = randomUUID();
    await a.ownership.claim(session, "ann");
    await a.ownership.save(session, [http("s1")]);
    await own.kill();
    await eventually(async () => {
      const location = await a.ownership.locate(session, "ann");
      return location.kind === "mine" && !location.certain;
    });
    const refused = await b.ownership.locate(session, "ann").catch((error) => error);
    expect(isSessionPoolError(refused) && refused.code).toBe("backend_unavailable");
    await expect(b.ownership.serverChanged("s1")).rejects.toMatchObject({ code: "backend_unavailable" });
    expect(a.ownership.stats().beatFailures).toBeGreaterThan(0);
    await own.restart();
    await eventually(async () => {
      const location = await a.ownership.locate(session, "ann");
      return location.kind === "mine" && location.certain;
    });
    expect(await b.ownership.locate(session, "ann", { fresh: true })).toMatchObject({ kind: "remote" });
    await a.ownership.close();
    expect(await b.ownership.reclaim(session, "ann")).toEqual({
      kind: "won",
      epoch: 2,
      upstream: [http("s1")],
      state: {},
    });
    a.evicted.length = 0;
    await b.ownership.close();
    await own.close();
  });

  it("is told so within the command timeout by a Redis that hangs, and goes on when it wakes up", async () => {
    const own = await startRedis();
    const a = await startReplica(own);
    const session = randomUUID();
    own.pause();
    const begin = performance.now();
    await expect(a.ownership.claim(session, "ann")).rejects.toMatchObject({ code: "backend_unavailable" });
    expect(performance.now() - begin).toBeLessThan(5000);
    own.resume();
    await eventually(async () => (await a.ownership.claim(session, "ann")).epoch === 1);
    expect(await a.ownership.locate(session, "ann")).toMatchObject({ kind: "mine", certain: true });
    await a.ownership.close();
    await own.close();
  });

  it("that hangs, it stops within a bound, however many sessions it owns", async () => {
    const own = await startRedis();
    const a = await startReplica(own, { heartbeatMs: 60_000, deadAfterMs: 120_000, sessionTtlMs: 600_000 });
    // In parts: the last of 2 000 at once would wait longer than a command may on a busy machine.
    for (let part = 0; part < 20; part++) {
      await Promise.all(Array.from({ length: 100 }, () => a.ownership.claim(randomUUID(), "ann")));
    }
    own.pause();
    const begin = performance.now();
    await a.ownership.close();
    expect(performance.now() - begin).toBeLessThan(8_000);
    own.resume();
    await own.close();
  });

  it("on the connection for notices alone, it polls for them, and stops within a bound", async () => {
    const [frozen, a] = [await startRedis(), await startReplica(redis)];
    frozen.pause();
    const evicted: unknown[] = [];
    const deaf = createRedisOwnership(
      { advertiseUrl: "http://deaf", sealKeys: [sealKey], signKeys: [signKey], ...quick },
      {
        redis: redis.client(),
        subscriber: frozen.client({ enableOfflineQueue: true }),
        onEvict: (notice) => evicted.push(notice),
        onOwnershipLost: () => {},
      },
    );
    await deaf.start();
    await a.ownership.serverChanged("s1");
    await eventually(() => evicted.length === 1);
    const begin = performance.now();
    await Promise.all([deaf.close(), a.ownership.close()]);
    expect(performance.now() - begin).toBeLessThan(5_000);
    frozen.resume();
    await frozen.close();
  });

  it("ends a session of its own all the same, and tells with the next beat that gets through", async () => {
    const own = await startRedis();
    const options = { deadAfterMs: 50_000, sessionTtlMs: 600_000 };
    const [a, b] = [await startReplica(own, options), await startReplica(own, options)];
    const session = randomUUID();
    await a.ownership.claim(session, "ann");
    await own.kill();
    await expect(a.ownership.end(session, "ann")).rejects.toMatchObject({ code: "backend_unavailable" });
    expect(await a.ownership.locate(session, "ann")).toEqual({ kind: "unknown" });
    expect(await a.ownership.locate(session, "bob")).toEqual({ kind: "foreign" });
    await own.restart();
    await eventually(() => a.ownership.stats().owned === 0);
    expect(await b.ownership.locate(session, "ann")).toEqual({ kind: "unknown" });
    await Promise.all([a.ownership.close(), b.ownership.close()]);
    await own.close();
  });

  it("starts late when Redis does, and then asks for a comparison", async () => {
    const own = await startRedis();
    await own.kill();
    const a = await startReplica(own, {}, { listen: false });
    await expect(a.ownership.start()).rejects.toMatchObject({ code: "backend_unavailable" });
    await own.restart();
    await eventually(() => a.evicted.length > 0);
    expect(a.evicted[0]).toEqual({ kind: "resync" });
    await a.ownership.serverChanged("s1");
    await a.ownership.close();
    await own.close();
  });
});
