import { randomUUID } from "node:crypto";
import type { SessionLocation } from "@gatewright/session-pool/redis";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../src/clock.ts";
import { sessionHash } from "../src/redis/owner-records.ts";
import { quick, signKey, startReplica } from "./support/replica.ts";
import { spawnReplica } from "./support/spawn-replica.ts";

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.close());

const http = (serverId: string) => ({ serverId, sessionId: `up-${serverId}`, resumable: true });

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

  it("is taken from a replica whose clock is a day ahead, and by it", async () => {
    const clock = { ...systemClock, wallNow: () => Date.now() + 86_400_000 };
    const [a, ahead] = [await startReplica(redis), await startReplica(redis, {}, { clock })];
    const request = { method: "POST", path: "/forward", body: "{}" };
    for (const [from, to] of [
      [a.ownership, ahead.ownership],
      [ahead.ownership, a.ownership],
    ] as const) {
      const envelope = from.sign({ owner: to.instanceId }, undefined, { ...request, payload: "ann" });
      expect(to.open(envelope, undefined, request)).toMatchObject({ kind: "accepted" });
    }
    await Promise.all([a.ownership.close(), ahead.ownership.close()]);
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
