import { randomUUID } from "node:crypto";
import { createRedisOwnership, type RedisOwnership } from "@gatewright/session-pool/redis";
import { type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { sessionHash } from "../src/redis/owner-records.ts";
import { quick, sealKey, signKey, startReplica } from "./support/replica.ts";

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.close());

const http = (serverId: string) => ({ serverId, sessionId: `up-${serverId}`, resumable: true });
const state = { hello: "kept" };
const record = (session: string) => `gw:{s:${sessionHash(session)}}:owner`;

/** What befalls a command: it gets through, does not arrive, arrives but its reply does not, or arrives when it is let go. */
type Fate = "through" | "unsent" | "unanswered" | Promise<void>;

/** A replica that beats only when it is asked (`locate` with `fresh`), over a connection that is cut as `fates` say. */
function cutReplica(instanceId: string = randomUUID()): { ownership: RedisOwnership; fates: Fate[] } {
  const client = redis.client({ enableOfflineQueue: true });
  const fates: Fate[] = [];
  const befall = async (run: () => Promise<unknown>): Promise<unknown> => {
    const fate = fates.shift() ?? "through";
    if (fate === "unsent") throw new Error("Connection is closed.");
    if (typeof fate !== "string") await fate;
    const reply = await run();
    if (fate === "unanswered") throw new Error("Connection is closed.");
    return reply;
  };
  const ownership = createRedisOwnership(
    { advertiseUrl: "http://127.0.0.1:1", sealKeys: [sealKey], signKeys: [signKey], ...quick },
    {
      instanceId,
      redis: {
        evalsha: (...args) => befall(() => client.evalsha(...args)),
        eval: (...args) => client.eval(...args),
      },
      onEvict: () => {},
      onOwnershipLost: () => {},
    },
  );
  return { ownership, fates };
}

const beat = ({ ownership }: { ownership: RedisOwnership }, session: string) =>
  ownership.locate(session, "ann", { fresh: true });
const flush = () => redis.client({ enableOfflineQueue: true }).flushdb();

/** Makes Redis know every script, so that each is one command from then on. */
beforeEach(async () => {
  const { ownership } = cutReplica();
  const session = randomUUID();
  await ownership.claim(session, "ann");
  await ownership.save(session, []);
  await ownership.close();
});

describe("a record that Redis lost", () => {
  it.each<[string, Fate[]]>([
    ["that nothing is cut for", []],
    ["though the beat that finds it missing has no answer", ["unanswered"]],
    ["though the beat that brings all of it does not arrive", ["through", "unsent"]],
    ["though the beat that brings all of it has no answer", ["through", "unanswered"]],
    ["though Redis loses it once more", ["through", "unanswered", "unsent"]],
  ])("is made anew whole, %s", async (_, fates) => {
    const [a, b] = [cutReplica(), cutReplica()];
    const session = randomUUID();
    await a.ownership.claim(session, "ann", { state });
    await a.ownership.save(session, [http("s1")]);
    await flush();
    a.fates.push(...fates);
    await beat(a, session).catch(() => undefined);
    if (fates.length === 3) await flush();
    while (a.fates.length > 0) await beat(a, session).catch(() => undefined);
    expect(await beat(a, session)).toMatchObject({ kind: "mine", certain: true });
    await a.ownership.close();
    expect(await b.ownership.reclaim(session, "ann")).toMatchObject({
      kind: "won",
      upstream: [http("s1")],
      state,
    });
    await b.ownership.close();
  });

  it.each([
    ["release", (owner: RedisOwnership, session: string) => owner.release(session)],
    ["close", (owner: RedisOwnership) => owner.close()],
  ])("is made anew by a graceful %s that finds it missing, free for the next", async (_, give) => {
    const [a, b] = [cutReplica(), cutReplica()];
    const session = randomUUID();
    await a.ownership.claim(session, "ann", { state });
    await a.ownership.save(session, [http("s1")]);
    await flush();
    await give(a.ownership, session);
    const won = { kind: "won", epoch: 2, upstream: [http("s1")], state };
    expect(await b.ownership.reclaim(session, "ann")).toMatchObject(won);
    await Promise.all([a.ownership.close(), b.ownership.close()]);
  });

  it("is not, where the session was taken over or ended meanwhile", async () => {
    const [a, b, c] = [cutReplica(), cutReplica(), cutReplica()];
    const [taken, ended] = [randomUUID(), randomUUID()];
    for (const session of [taken, ended]) await a.ownership.claim(session, "ann", { state });
    const client = redis.client({ enableOfflineQueue: true });
    await client.hset(record(taken), "beatAt", "0");
    expect(await b.ownership.reclaim(taken, "ann")).toMatchObject({ kind: "won", epoch: 2 });
    await b.ownership.end(ended, "ann");
    await a.ownership.close();
    expect(await b.ownership.locate(taken, "ann", { fresh: true })).toMatchObject({ kind: "mine", epoch: 2 });
    expect(await c.ownership.reclaim(taken, "ann")).toMatchObject({ kind: "alive" });
    expect(await c.ownership.reclaim(ended, "ann")).toEqual({ kind: "unknown" });
    await Promise.all([b.ownership.close(), c.ownership.close()]);
  });

  it("is never there without what was kept, so that a session whose owner dies meanwhile is gone, not empty", async () => {
    const [a, b] = [cutReplica(), cutReplica()];
    const session = randomUUID();
    await a.ownership.claim(session, "ann", { state });
    await flush();
    a.fates.push("through", "unsent");
    await expect(beat(a, session)).rejects.toMatchObject({ code: "backend_unavailable" });
    expect(await redis.client({ enableOfflineQueue: true }).exists(record(session))).toBe(0);
    expect(await b.ownership.reclaim(session, "ann")).toEqual({ kind: "unknown" });
    await Promise.all([a.ownership.close(), b.ownership.close()]);
  });

  it("and that an earlier owner made anew goes back to the last one, with what that one kept", async () => {
    const [a, b, c] = [cutReplica(), cutReplica(), cutReplica()];
    const session = randomUUID();
    await a.ownership.claim(session, "ann", { state: { hello: "old" } });
    const client = redis.client({ enableOfflineQueue: true });
    await client.hset(record(session), "owner", "", "beatAt", "0");
    expect(await b.ownership.reclaim(session, "ann")).toMatchObject({ kind: "won", epoch: 2 });
    await b.ownership.save(session, [http("s1")], state);
    await flush();
    expect(await beat(a, session)).toMatchObject({ kind: "mine", epoch: 1 });
    expect(await beat(b, session)).toMatchObject({ kind: "mine", epoch: 2 });
    expect(await beat(a, session)).toMatchObject({ kind: "remote", epoch: 2 });
    await b.ownership.close();
    expect(await c.ownership.reclaim(session, "ann")).toMatchObject({ upstream: [http("s1")], state });
    await Promise.all([a.ownership.close(), c.ownership.close()]);
  });
});

describe("what a record keeps", () => {
  it.each(["", undefined])(
    "is never taken for nothing when it is missing (%j): the session is gone",
    async (sealed) => {
      const [a, b] = [await startReplica(redis), await startReplica(redis)];
      const session = randomUUID();
      await a.ownership.claim(session, "ann");
      await a.ownership.close();
      const client = redis.client({ enableOfflineQueue: true });
      if (sealed === undefined) await client.hdel(record(session), "sealed");
      else await client.hset(record(session), "sealed", sealed);
      expect(await b.ownership.reclaim(session, "ann")).toEqual({ kind: "unresumable" });
      expect(await b.ownership.locate(session, "ann")).toEqual({ kind: "unknown" });
      await b.ownership.close();
    },
  );

  it("is what was said last, though an earlier writing arrives later", async () => {
    const [a, b] = [cutReplica(), cutReplica()];
    const session = randomUUID();
    await a.ownership.claim(session, "ann", { state });
    const held = Promise.withResolvers<void>();
    a.fates.push(held.promise);
    const early = a.ownership.save(session, []);
    await a.ownership.save(session, [http("s1")]);
    held.resolve();
    await early;
    await a.ownership.close();
    expect(await b.ownership.reclaim(session, "ann")).toMatchObject({ kind: "won", upstream: [http("s1")] });
    await b.ownership.close();
  });

  it("is what a claim said that was asked again, since it had no answer", async () => {
    const [a, b] = [cutReplica(), cutReplica()];
    const session = randomUUID();
    a.fates.push("unanswered");
    await expect(a.ownership.claim(session, "ann", { state: { hello: "first" } })).rejects.toThrow();
    const client = redis.client({ enableOfflineQueue: true });
    await client.hset(record(session), "beatAt", "0");
    expect(await a.ownership.claim(session, "ann", { state })).toEqual({ epoch: 1 });
    // From then on it is the owner's for as long as it says that it is certain.
    expect(await b.ownership.reclaim(session, "ann")).toMatchObject({ kind: "alive" });
    await a.ownership.close();
    expect(await b.ownership.reclaim(session, "ann")).toMatchObject({ kind: "won", state });
    await b.ownership.close();
  });
});
