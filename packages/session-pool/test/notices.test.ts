import { randomUUID } from "node:crypto";
import { createRedisOwnership } from "@gatewright/session-pool/redis";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../src/clock.ts";
import { quick, sealKey, signKey, startReplica } from "./support/replica.ts";

const dayBehind = { ...systemClock, wallNow: () => Date.now() - 86_400_000 };

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.close());

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

  it("is heard again by message after the connection was lost, also where the client does not subscribe by itself", async () => {
    const own = await startRedis();
    const evicted: unknown[] = [];
    const ownership = createRedisOwnership(
      { advertiseUrl: "http://hears", sealKeys: [sealKey], signKeys: [signKey], ...quick, pollMs: 60_000 },
      {
        redis: own.client(),
        subscriber: own.client({ maxRetriesPerRequest: null, autoResubscribe: false }),
        onEvict: (notice) => evicted.push(notice),
        onOwnershipLost: () => {},
      },
    );
    await ownership.start();
    const a = await startReplica(own);
    await a.ownership.serverChanged("s1");
    await eventually(() => evicted.length === 1);
    await own.client().call("CLIENT", "KILL", "TYPE", "pubsub");
    await eventually(async () => {
      await a.ownership.serverChanged("s2");
      return evicted.length > 1;
    });
    await Promise.all([a.ownership.close(), ownership.close()]);
    await own.close();
  });

  it("asks for a comparison of everything when notices were missed", async () => {
    const quiet = await startReplica(redis, { maxNotices: 2, pollMs: 500 }, { subscribe: false });
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
    // It has not learnt the time of Redis.
    const late = await startReplica(own, {}, { clock, listen: false });
    await late.ownership.serverChanged("s1");
    await eventually(() => b.evicted.length === 1);
    expect(b.evicted).toEqual([{ kind: "resync" }]);
    await Promise.all([late.ownership.close(), b.ownership.close()]);
    await own.close();
  });

  it("is heard of a replica whose clock is a day behind, as what it is", async () => {
    const [a, late] = [await startReplica(redis), await startReplica(redis, {}, { clock: dayBehind })];
    await late.ownership.serverChanged("s1");
    await eventually(() => a.evicted.length === 1);
    await a.ownership.serverChanged("s2");
    await eventually(() => late.evicted.length === 2);
    expect(a.evicted[0]).toEqual({ kind: "server", serverId: "s1" });
    expect(late.evicted[1]).toEqual({ kind: "server", serverId: "s2" });
    await Promise.all([late.ownership.close(), a.ownership.close()]);
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
