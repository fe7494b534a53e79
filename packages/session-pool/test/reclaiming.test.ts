import { randomUUID } from "node:crypto";
import { ownerUnreachable, type ReclaimResult, type SessionLocation } from "@gatewright/session-pool/redis";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startReplica } from "./support/replica.ts";
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
