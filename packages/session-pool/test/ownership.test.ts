import { randomUUID } from "node:crypto";
import { isSessionPoolError } from "@gatewright/session-pool";
import {
  createRedisOwnership,
  ownerUnreachable,
  type ReclaimResult,
  type SessionLocation,
} from "@gatewright/session-pool/redis";
import { eventually, type RedisServer, startRedis, startRedisCluster } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../src/clock.ts";
import { sessionHash } from "../src/redis/owner-records.ts";
import { quick, sealKey, signKey, startReplica } from "./support/replica.ts";
import { spawnReplica } from "./support/spawn-replica.ts";

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.close());

const http = (serverId: string) => ({ serverId, sessionId: `up-${serverId}`, resumable: true });

function remote(location: SessionLocation) {
  if (location.kind !== "remote") throw new Error(`not remote but ${location.kind}`);
  return location;
}

describe("the owner of a session", () => {
  it("is found by every replica, by its principal only", async () => {
    const a = await startReplica(redis, { advertiseUrl: "http://a" });
    const b = await startReplica(redis);
    const session = randomUUID();
    expect(await b.ownership.locate(session, "ann")).toEqual({ kind: "unknown" });
    expect(await a.ownership.claim(session, "ann")).toEqual({ epoch: 1 });
    expect(await a.ownership.locate(session, "ann")).toEqual({ kind: "mine", epoch: 1, certain: true });
    expect(await b.ownership.locate(session, "ann")).toMatchObject({
      kind: "remote",
      owner: a.ownership.instanceId,
      url: "http://a",
      epoch: 1,
    });
    expect(await a.ownership.locate(session, "bob")).toEqual({ kind: "foreign" });
    expect(await b.ownership.locate(session, "bob")).toEqual({ kind: "foreign" });
    await expect(b.ownership.claim(session, "ann")).rejects.toMatchObject({ code: "validation_failed" });
    await expect(a.ownership.claim(session, "bob")).rejects.toMatchObject({ code: "validation_failed" });
    await Promise.all([a.ownership.close(), b.ownership.close()]);
  });

  it("stays the owner as long as it beats, by the clock of Redis, and the record outlives it by the TTL", async () => {
    const a = await startReplica(redis, { deadAfterMs: 1000 });
    const b = await startReplica(redis, { deadAfterMs: 1000 }, { listen: false });
    const session = randomUUID();
    await a.ownership.claim(session, "ann");
    const client = redis.client();
    const before = a.ownership.stats().beats;
    await eventually(() => a.ownership.stats().beats >= before + 12);
    expect(await b.ownership.locate(session, "ann")).toMatchObject({ kind: "remote" });
    const [key] = (await client.keys("gw:{s:*}:owner")).filter((name) => name.length > 0);
    expect(await client.pttl(key ?? "")).toBeGreaterThan(quick.sessionTtlMs - 5000);
    expect(await client.pttl(key ?? "")).toBeLessThanOrEqual(quick.sessionTtlMs);
    await a.ownership.close();
  });

  it("that does not know of it, since the answer was lost, is not forwarded to and takes the session up at once", async () => {
    const options = { deadAfterMs: 50_000 };
    const instanceId = randomUUID();
    const lost = await startReplica(redis, options, { instanceId, listen: false });
    const same = await startReplica(redis, options, { instanceId, listen: false });
    const session = randomUUID();
    await lost.ownership.claim(session, "ann", { state: { hello: "kept" } });
    expect(await same.ownership.locate(session, "ann")).toEqual({
      kind: "ownerless",
      owner: instanceId,
      epoch: 1,
    });
    expect(await same.ownership.locate(session, "bob")).toEqual({ kind: "foreign" });
    expect(await same.ownership.reclaim(session, "ann")).toMatchObject({
      kind: "won",
      epoch: 2,
      state: { hello: "kept" },
    });
    await Promise.all([lost.ownership.close(), same.ownership.close()]);
  });

  it("is asked about again after a 421, not remembered", async () => {
    const options = { locationCacheMs: 60_000, deadAfterMs: 50_000 };
    const a = await startReplica(redis, options);
    const b = await startReplica(redis, options);
    const c = await startReplica(redis, options);
    const session = randomUUID();
    await a.ownership.claim(session, "ann");
    await b.ownership.locate(session, "ann");
    await a.ownership.close();
    expect(await c.ownership.reclaim(session, "ann")).toMatchObject({ kind: "won", epoch: 2 });
    expect(await b.ownership.locate(session, "ann")).toMatchObject({ owner: a.ownership.instanceId });
    expect(await b.ownership.locate(session, "bob")).toEqual({ kind: "foreign" });
    expect(await b.ownership.locate(session, "ann", { fresh: true })).toMatchObject({
      owner: c.ownership.instanceId,
      epoch: 2,
    });
    await Promise.all([b.ownership.close(), c.ownership.close()]);
  });

  it("remembers no more places than it may", async () => {
    const options = { locationCacheMs: 60_000, deadAfterMs: 50_000, maxLocations: 1 };
    const a = await startReplica(redis, options);
    const b = await startReplica(redis, options);
    const sessions = [randomUUID(), randomUUID()];
    for (const session of sessions) await a.ownership.claim(session, "ann");
    for (const session of sessions) await b.ownership.locate(session, "ann");
    await a.ownership.close();
    expect((await b.ownership.locate(sessions[1] ?? "", "ann")).kind).toBe("remote");
    expect((await b.ownership.locate(sessions[0] ?? "", "ann")).kind).toBe("ownerless");
    await b.ownership.close();
  });

  it("gives up what it owns when it stops in good order: anyone may go on at once", async () => {
    const a = await startReplica(redis, { deadAfterMs: 50_000 });
    const b = await startReplica(redis, { deadAfterMs: 50_000 });
    const session = randomUUID();
    await a.ownership.claim(session, "ann");
    await a.ownership.save(session, [http("s1")]);
    await a.ownership.close();
    await a.ownership[Symbol.asyncDispose]();
    expect(await b.ownership.locate(session, "ann")).toEqual({ kind: "ownerless", owner: "", epoch: 1 });
    expect(await b.ownership.reclaim(session, "ann")).toEqual({
      kind: "won",
      epoch: 2,
      upstream: [http("s1")],
      state: {},
    });
    await b.ownership.close();
  });

  it("keeps what changed of a session's state for whoever goes on with it", async () => {
    const a = await startReplica(redis, { deadAfterMs: 50_000 });
    const b = await startReplica(redis, { deadAfterMs: 50_000 });
    const session = randomUUID();
    await a.ownership.claim(session, "ann", { state: { hello: "1" } });
    await a.ownership.save(session, [http("s1")], { hello: "1", level: "info" });
    await a.ownership.save(session, [http("s2")]);
    await a.ownership.close();
    expect(await b.ownership.reclaim(session, "ann")).toMatchObject({
      upstream: [http("s2")],
      state: { hello: "1", level: "info" },
    });
    await b.ownership.close();
  });

  it("learns that another took over while it was silent, and must not go on", async () => {
    const a = await startReplica(redis, {
      heartbeatMs: 2_000_000_000,
      deadAfterMs: 2_000_000_001,
      sessionTtlMs: 2_000_000_002,
    });
    const b = await startReplica(redis, {}, { listen: false });
    const session = randomUUID();
    await a.ownership.claim(session, "ann");
    const won = await eventually(async () => {
      const result = await b.ownership.reclaim(session, "ann");
      return result.kind === "won" && result;
    });
    expect(won).toMatchObject({ epoch: 2 });
    await a.ownership.save(session, [http("s1")]);
    expect(a.lost).toEqual([session]);
    expect(a.ownership.stats()).toMatchObject({ owned: 0, ownershipsLost: 1 });
    expect(await a.ownership.locate(session, "ann")).toMatchObject({ kind: "remote", epoch: 2 });
    await a.ownership.save(session, []);
    await Promise.all([a.ownership.close(), b.ownership.close()]);
  });

  it("is never certain of a session again that another took over while its process was frozen", async () => {
    const owner = await spawnReplica(redis.port);
    const b = await startReplica(redis, { deadAfterMs: 1500 });
    const session = randomUUID();
    await owner.call("claim", session, "ann");
    expect(await owner.call<SessionLocation>("locate", session, "ann")).toMatchObject({
      kind: "mine",
      certain: true,
    });
    owner.freeze();
    await eventually(async () => (await b.ownership.reclaim(session, "ann")).kind === "won");
    const first = owner.call<SessionLocation>("locate", session, "ann");
    owner.thaw();
    expect(await first).not.toMatchObject({ certain: true });
    await eventually(async () => {
      const location = await owner.call<SessionLocation>("locate", session, "ann");
      expect(location).not.toMatchObject({ certain: true });
      return location.kind === "remote" && location.owner === b.ownership.instanceId;
    });
    await owner.kill();
    await b.ownership.close();
  });

  it("leaves what it kept with the claim to whoever takes over, sealed, also after upstream sessions were added", async () => {
    const [a, b] = [await startReplica(redis), await startReplica(redis)];
    const session = randomUUID();
    const state = { hello: "planted state" };
    await a.ownership.claim(session, "ann", { state });
    const [key = ""] = await redis.client().keys(`gw:{s:${sessionHash(session)}}:owner`);
    expect(JSON.stringify(await redis.client().hgetall(key))).not.toContain("planted");
    await a.ownership.save(session, [http("s1")]);
    await a.ownership.close();
    expect(await b.ownership.reclaim(session, "ann")).toMatchObject({ upstream: [http("s1")], state });
    await b.ownership.close();
  });

  it("may own a new session with Redis away; the record is there after the next beat that gets through", async () => {
    const own = await startRedis();
    const [a, b] = [await startReplica(own), await startReplica(own)];
    await own.kill();
    const session = randomUUID();
    const state = { hello: "kept" };
    await expect(a.ownership.claim(session, "ann")).rejects.toMatchObject({ code: "backend_unavailable" });
    expect(await a.ownership.claim(session, "ann", { state, ownWhenAway: true })).toEqual({ epoch: 1 });
    expect(await a.ownership.locate(session, "ann")).toMatchObject({ kind: "mine", certain: true });
    await own.restart();
    await eventually(async () => (await b.ownership.locate(session, "ann")).kind === "remote");
    await a.ownership.close();
    expect(await b.ownership.reclaim(session, "ann")).toMatchObject({ kind: "won", state });
    await b.ownership.close();
    await own.close();
  });

  it("knows without asking what it holds, and makes sure by asking when it is not certain", async () => {
    const slow = { heartbeatMs: 400, deadAfterMs: 500 };
    const a = await startReplica(redis, slow, { listen: false });
    const b = await startReplica(redis, slow, { listen: false });
    const session = randomUUID();
    expect(a.ownership.hold(session)).toBeUndefined();
    await a.ownership.claim(session, "ann");
    const hold = a.ownership.hold(session);
    expect(hold).toMatchObject({ epoch: 1, certain: true });
    await eventually(() => hold?.certain === false);
    await a.ownership.locate(session, "ann", { fresh: true });
    expect(hold).toMatchObject({ epoch: 1, certain: true });
    await eventually(async () => (await b.ownership.reclaim(session, "ann")).kind === "won");
    expect(await a.ownership.locate(session, "ann", { fresh: true })).toMatchObject({
      kind: "remote",
      owner: b.ownership.instanceId,
    });
    expect(a.lost).toEqual([session]);
    expect(hold).toMatchObject({ certain: false });
    expect(a.ownership.hold(session)).toBeUndefined();
    await Promise.all([a.ownership.close(), b.ownership.close()]);
  });

  it("refuses to own more sessions than it may", async () => {
    const a = await startReplica(redis, { maxOwned: 1 });
    await a.ownership.claim(randomUUID(), "ann");
    await expect(a.ownership.claim(randomUUID(), "ann")).rejects.toMatchObject({ code: "pool_capacity" });
    await a.ownership.close();
  });
});

describe("an instance", () => {
  it("is found by its id as long as it beats, and not once it has left", async () => {
    const a = await startReplica(redis, { advertiseUrl: "http://a" });
    const b = await startReplica(redis, { advertiseUrl: "http://b" });
    expect(await b.ownership.whereIs(a.ownership.instanceId)).toBe("http://a");
    const beats = redis.client();
    await beats.del(`gw:{i:${a.ownership.instanceId}}:url`);
    await eventually(async () => (await b.ownership.whereIs(a.ownership.instanceId)) === "http://a");
    expect(await beats.pttl(`gw:{i:${a.ownership.instanceId}}:url`)).toBeLessThanOrEqual(quick.deadAfterMs);
    await a.ownership.close();
    expect(await b.ownership.whereIs(a.ownership.instanceId)).toBeUndefined();
    await b.ownership.close();
  });

  it("takes requests that are signed for it and for no session", async () => {
    const [a, b] = [await startReplica(redis), await startReplica(redis)];
    const request = { method: "POST", path: "/mcp", body: "{}" };
    const sign = () =>
      b.ownership.sign({ owner: a.ownership.instanceId }, undefined, { ...request, payload: "ann" });
    expect(a.ownership.open(sign(), undefined, request)).toMatchObject({ kind: "accepted" });
    expect(a.ownership.open(sign(), randomUUID(), request)).toEqual({ kind: "misdirected" });
    expect(b.ownership.open(sign(), undefined, request)).toMatchObject({ reason: "misaddressed" });
    await Promise.all([a.ownership.close(), b.ownership.close()]);
  });
});

describe("reclaiming", () => {
  it("SP-13 after kill -9 of the owner is refused until it counts as dead, then exactly one of 20 racers wins", async () => {
    const owner = await spawnReplica(redis.port);
    const others = await Promise.all([1, 2, 3, 4].map(() => spawnReplica(redis.port)));
    const session = randomUUID();
    await owner.call("claim", session, "ann");
    await owner.call("save", session, [http("s1"), http("s2")]);
    await owner.kill();

    const early = await others[0]!.call<SessionLocation>("locate", session, "ann");
    const refusal = ownerUnreachable(remote(early), new Error("ECONNREFUSED"));
    expect(refusal).toMatchObject({ code: "session_owner_unreachable", retryable: true });
    expect(refusal.details["retryAfterMs"]).toBeGreaterThan(0);
    const tooEarly = await others[0]!.call<ReclaimResult[]>("race", session, "ann");
    expect(tooEarly.map(({ kind }) => kind)).toEqual(Array(5).fill("alive"));

    await eventually(async () => {
      const location = await others[0]!.call<SessionLocation>("locate", session, "ann");
      return location.kind === "ownerless";
    });
    const results = (
      await Promise.all(others.map((other) => other.call<ReclaimResult[]>("race", session, "ann")))
    ).flat();
    expect(results).toHaveLength(20);
    const won = results.filter(({ kind }) => kind === "won");
    expect(won).toEqual([{ kind: "won", epoch: 2, upstream: [http("s1"), http("s2")], state: {} }]);
    for (const { kind } of results) expect(["won", "lost", "alive"]).toContain(kind);
    await Promise.all(others.map((other) => other.kill()));
  });

  it("SP-13 ends a session that cannot be resumed (stdio): 404 for everybody, never a fresh state", async () => {
    const a = await startReplica(redis);
    const b = await startReplica(redis);
    const session = randomUUID();
    await a.ownership.claim(session, "ann");
    await a.ownership.save(session, [http("s1"), { serverId: "s2", resumable: false }]);
    await a.ownership.close();
    expect(await b.ownership.reclaim(session, "ann")).toEqual({ kind: "unresumable" });
    expect(await b.ownership.locate(session, "ann")).toEqual({ kind: "unknown" });
    expect(await b.ownership.reclaim(session, "ann")).toEqual({ kind: "unknown" });
    expect(b.ownership.stats()).toMatchObject({ owned: 0, reclaims: { unresumable: 1, unknown: 1 } });
    await b.ownership.close();
  });

  it("treats ids sealed under an unknown key like a session that cannot be resumed, and opens those of the previous key", async () => {
    const rotated = [Buffer.alloc(32, 1), Buffer.alloc(32, 7)];
    for (const [sealKeys, kind] of [
      [[Buffer.alloc(32, 1)], "unresumable"],
      [rotated, "won"],
    ] as const) {
      const a = await startReplica(redis);
      const b = await startReplica(redis, { sealKeys });
      const session = randomUUID();
      await a.ownership.claim(session, "ann");
      await a.ownership.save(session, [http("s1")]);
      await a.ownership.close();
      expect((await b.ownership.reclaim(session, "ann")).kind).toBe(kind);
      await b.ownership.close();
    }
  });

  it("is done once for all who ask one replica at the same time; none of them finds the session gone", async () => {
    const b = await startReplica(redis, { deadAfterMs: 50_000 });
    for (let round = 0; round < 50; round++) {
      const a = await startReplica(redis, { deadAfterMs: 50_000 }, { listen: false });
      const session = randomUUID();
      await a.ownership.claim(session, "ann");
      await a.ownership.release(session);
      const asked = Array.from({ length: 12 }, async (_, index) => {
        // Some begin while the first is under way.
        for (let turn = 0; turn < index; turn++) await Promise.resolve();
        const location = await b.ownership.locate(session, "ann", { fresh: index % 2 === 0 });
        expect(["ownerless", "mine"]).toContain(location.kind);
        return location.kind === "mine" ? "lost" : (await b.ownership.reclaim(session, "ann")).kind;
      });
      const results = await Promise.all(asked);
      expect(results.filter((kind) => kind === "won")).toHaveLength(1);
      expect(results.filter((kind) => kind === "lost")).toHaveLength(11);
      expect(b.ownership.hold(session)).toMatchObject({ epoch: 2 });
      await a.ownership.close();
    }
    await b.ownership.close();
  });

  it("is refused to a foreign principal, and pointless for the owner itself", async () => {
    const a = await startReplica(redis);
    const b = await startReplica(redis);
    const session = randomUUID();
    await a.ownership.claim(session, "ann");
    expect(await a.ownership.reclaim(session, "ann")).toEqual({ kind: "lost" });
    expect(await b.ownership.reclaim(session, "ann")).toMatchObject({ kind: "alive" });
    await a.ownership.close();
    expect(await b.ownership.reclaim(session, "bob")).toEqual({ kind: "foreign" });
    expect(await b.ownership.reclaim(session, "ann")).toMatchObject({ kind: "won", upstream: [] });
    await b.ownership.close();
  });
});

describe("eviction on every replica", () => {
  it("SP-12 a DELETE anywhere ends the session at its owner within a second; a foreign user ends nothing", async () => {
    const [a, b] = [await startReplica(redis), await startReplica(redis)];
    const session = randomUUID();
    await a.ownership.claim(session, "ann");
    expect(await b.ownership.end(session, "bob")).toBe("foreign");
    expect(await a.ownership.locate(session, "ann")).toMatchObject({ kind: "mine" });
    const begin = performance.now();
    expect(await b.ownership.end(session, "ann")).toBe("ended");
    await eventually(() => a.evicted.length === 1);
    expect(performance.now() - begin).toBeLessThan(5000);
    expect(a.evicted).toEqual([{ kind: "session", sessionId: session }]);
    expect(b.evicted).toEqual([]);
    expect(await a.ownership.locate(session, "ann")).toEqual({ kind: "unknown" });
    expect(await b.ownership.end(session, "ann")).toBe("unknown");
    await Promise.all([a.ownership.close(), b.ownership.close()]);
  });

  it("SP-12 a changed server is evicted on A, B and C within a second, once each", async () => {
    const replicas = await Promise.all([startReplica(redis), startReplica(redis), startReplica(redis)]);
    const begin = performance.now();
    await replicas[0]!.ownership.serverChanged("s1");
    await eventually(() => replicas.every(({ evicted }) => evicted.length === 1));
    expect(performance.now() - begin).toBeLessThan(5000);
    await replicas[0]!.ownership.serverChanged("s2");
    await eventually(() => replicas.every(({ evicted }) => evicted.length === 2));
    for (const { evicted } of replicas) {
      expect(evicted).toEqual([
        { kind: "server", serverId: "s1" },
        { kind: "server", serverId: "s2" },
      ]);
    }
    await Promise.all(replicas.map(({ ownership }) => ownership.close()));
  });

  it("SP-12 a beat that is quicker than the notice ends the session as the notice would, and does not hand it over", async () => {
    const a = await startReplica(redis, { pollMs: 60_000 }, { subscribe: false });
    const b = await startReplica(redis);
    const session = randomUUID();
    await a.ownership.claim(session, "ann");
    expect(await b.ownership.end(session, "ann")).toBe("ended");
    await eventually(() => a.evicted.length === 1);
    expect(a.evicted).toEqual([{ kind: "session", sessionId: session }]);
    expect(a.lost).toEqual([]);
    expect(a.ownership.stats()).toMatchObject({ owned: 0, ownershipsLost: 0 });
    expect(await b.ownership.locate(session, "ann")).toEqual({ kind: "unknown" });
    await Promise.all([a.ownership.close(), b.ownership.close()]);
  });

  it("reaches a replica that cannot hear messages by its next poll", async () => {
    const a = await startReplica(redis);
    const deaf = await startReplica(redis, {}, { subscribe: false });
    await a.ownership.serverChanged("s1");
    await eventually(() => deaf.evicted.length === 1);
    await Promise.all([a.ownership.close(), deaf.ownership.close()]);
  });

  it("asks for a comparison of everything when notices were missed", async () => {
    const quiet = await startReplica(redis, { maxNotices: 2, pollMs: 300 }, { subscribe: false });
    const a = await startReplica(redis, { maxNotices: 2 });
    for (const id of ["s1", "s2", "s3", "s4"]) await a.ownership.serverChanged(id);
    await eventually(() => quiet.evicted.length >= 3);
    expect(quiet.evicted).toEqual([
      { kind: "resync" },
      { kind: "server", serverId: "s3" },
      { kind: "server", serverId: "s4" },
    ]);
    await Promise.all([a.ownership.close(), quiet.ownership.close()]);
  });

  it("goes on after Redis lost its log, and asks for a comparison of everything", async () => {
    const own = await startRedis();
    const a = await startReplica(own);
    const deaf = await startReplica(own, {}, { subscribe: false });
    for (const id of ["s1", "s2", "s3"]) await a.ownership.serverChanged(id);
    await eventually(() => deaf.evicted.length === 3);
    await own.client().flushall();
    await eventually(() => deaf.evicted.some(({ kind }) => kind === "resync"));
    await a.ownership.serverChanged("s4");
    await eventually(() =>
      deaf.evicted.some((notice) => notice.kind === "server" && notice.serverId === "s4"),
    );
    expect(deaf.evicted.filter(({ kind }) => kind === "server")).toHaveLength(4);
    await Promise.all([a.ownership.close(), deaf.ownership.close()]);
    await own.close();
  });

  it("refuses and counts a notice that is told again under another revision, by message or in the log", async () => {
    const own = await startRedis();
    const [a, b] = [await startReplica(own), await startReplica(own)];
    await a.ownership.serverChanged("s1");
    await eventually(() => b.evicted.length === 1);
    const client = own.client();
    const [line = ""] = await client.zrange("gw:{sessions}:log", "0", "-1");
    const again = (rev: number) => `${rev}${line.slice(line.indexOf(" "))}`;
    await client.publish("gw:sessions", again(7));
    await client.multi().set("gw:{sessions}:rev", 2).zadd("gw:{sessions}:log", 2, again(2)).exec();
    await eventually(() => b.ownership.stats().noticesRefused === 2);
    expect(b.evicted).toEqual([{ kind: "server", serverId: "s1" }]);
    await Promise.all([a.ownership.close(), b.ownership.close()]);
    await own.close();
  });

  it("that is too old to be told from a repetition counts as missed", async () => {
    const own = await startRedis();
    const b = await startReplica(own);
    const clock = { ...systemClock, wallNow: () => Date.now() - 31_000 };
    const late = await startReplica(own, {}, { clock });
    await late.ownership.serverChanged("s1");
    await eventually(() => b.evicted.length === 1);
    expect(b.evicted).toEqual([{ kind: "resync" }]);
    await Promise.all([late.ownership.close(), b.ownership.close()]);
    await own.close();
  });

  it("refuses and counts notices that are not signed", async () => {
    const a = await startReplica(redis);
    const client = redis.client();
    await client.publish("gw:sessions", `999 forged {"kind":"server","serverId":"s1","from":"x"}`);
    await client.publish("gw:sessions", "nonsense");
    await eventually(() => a.ownership.stats().noticesRefused === 2);
    expect(a.evicted).toEqual([]);
    await a.ownership.close();
  });
});

describe("without Redis", () => {
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
    await Promise.all(Array.from({ length: 2_000 }, () => a.ownership.claim(randomUUID(), "ann")));
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

describe("options", () => {
  it.each([
    [{ heartbeat: 1 }, /"heartbeat".*"heartbeatMs"/],
    [{ sealKeys: [Buffer.alloc(3)] }, /sealKeys/],
    [{ signKeys: [signKey.subarray(0, 31)] }, /signKeys/],
    [{ heartbeatMs: 600 }, /heartbeatMs < deadAfterMs/],
  ])("refuses %o", async (options, message) => {
    await expect(startReplica(redis, options as never)).rejects.toThrow(message);
  });
});
