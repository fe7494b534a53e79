import { randomUUID } from "node:crypto";
import { startCounterServer } from "@gatewright/mcp-fixtures";
import { createSessionPool } from "@gatewright/session-pool";
import { createRedisOwnership, type RedisOwnership } from "@gatewright/session-pool/redis";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { downstreamKey, keys } from "./support/keys.ts";
import { callTool, McpFactory, type McpSession } from "./support/mcp-factory.ts";
import { quick, sealKey, signKey } from "./support/replica.ts";
import { spawnReplica } from "./support/spawn-replica.ts";

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.close());

/** A pool and an ownership wired together as a gateway does it. */
async function gateway(url: string) {
  const factory = new McpFactory(() => url);
  const pool = createSessionPool({}, { factory });
  const downstreams = new Map<string, string>();
  const ownership: RedisOwnership = createRedisOwnership(
    { advertiseUrl: "http://127.0.0.1:1", sealKeys: [sealKey], signKeys: [signKey], ...quick },
    {
      redis: redis.client(),
      subscriber: redis.client(),
      onOwnershipLost: (session) =>
        void pool.endDownstream(downstreams.get(session) ?? "", { handOver: true }),
      onEvict(notice) {
        if (notice.kind === "session") void pool.endDownstream(downstreams.get(notice.sessionId) ?? "");
        if (notice.kind === "server") void pool.drain({ serverId: notice.serverId });
      },
    },
  );
  await ownership.start();
  onTestFinished(async () => {
    await pool.close({ deadlineMs: 0 });
    await ownership.close();
  });
  const keyOf = (session: string) => {
    const key = keys.downstream({ id: "s1" }, { principal: "ann", downstreamSessionId: session });
    downstreams.set(session, key.downstream ?? "");
    return key;
  };
  return { pool, ownership, factory, keyOf };
}

async function counter() {
  const server = await startCounterServer();
  onTestFinished(() => server.close());
  return server;
}

const add = (amount: number) => (session: McpSession) =>
  callTool<{ value: number }>(session, "add", { amount });
const read = (session: McpSession) => callTool<{ value: number }>(session, "read");

describe("stateful sessions across replicas", () => {
  it("SP-12 a DELETE at B of a session owned by A closes A's upstream session within a second", async () => {
    const server = await counter();
    const [a, b] = [await gateway(server.url), await gateway(server.url)];
    const session = randomUUID();
    await a.ownership.claim(session, "ann");
    await a.pool.run(a.keyOf(session), add(5));
    expect(await b.ownership.end(session, "mallory")).toBe("foreign");
    expect(await b.ownership.locate(session, "mallory")).toEqual({ kind: "foreign" });
    expect(await a.pool.run(a.keyOf(session), read)).toEqual(expect.objectContaining({ value: 5 }));
    const begin = performance.now();
    expect(await b.ownership.end(session, "ann")).toBe("ended");
    await eventually(() => server.stats().sessionsClosed === 1);
    expect(performance.now() - begin).toBeLessThan(5000);
  });

  it("SP-12 changed credentials evict the server's sessions on A, B and C, and no other server's", async () => {
    const server = await counter();
    const replicas = [await gateway(server.url), await gateway(server.url), await gateway(server.url)];
    for (const { pool } of replicas) {
      await pool.run(downstreamKey("d1", "s1"), add(1));
      await pool.run(downstreamKey("d1", "s2"), add(1));
    }
    const begin = performance.now();
    await replicas[0]!.ownership.serverChanged("s1");
    await eventually(() => server.stats().sessionsClosed === 3);
    expect(performance.now() - begin).toBeLessThan(5000);
    for (const { pool } of replicas) {
      expect(await pool.run(downstreamKey("d1", "s2"), read)).toMatchObject({ value: 1 });
    }
  });

  it("SP-13 the winner resumes the upstream session of an owner that was killed, state and all", async () => {
    const server = await counter();
    const before = await gateway(server.url);
    const session = randomUUID();
    const lease = await before.pool.acquire(before.keyOf(session));
    await add(5)(lease.session);
    const upstream = lease.session.id;
    const owner = await spawnReplica(redis.port);
    await owner.call("claim", session, "ann");
    await owner.call("save", session, [{ serverId: "s1", sessionId: upstream, resumable: true }]);
    await owner.kill();

    const b = await gateway(server.url);
    const won = await eventually(async () => {
      const result = await b.ownership.reclaim(session, "ann");
      return result.kind === "won" && result;
    });
    const resume = won.upstream[0]?.sessionId ?? "";
    expect(resume).toBe(upstream);
    expect(await b.pool.run(b.keyOf(session), read, { context: { resume } })).toMatchObject({ value: 5 });
    expect(server.stats().sessionsOpened).toBe(1);
    lease.release();
  });

  it("a graceful stop hands the session over: the next replica resumes it at once, with its state", async () => {
    const server = await counter();
    const [a, b] = [await gateway(server.url), await gateway(server.url)];
    const session = randomUUID();
    await a.ownership.claim(session, "ann");
    await a.pool.run(a.keyOf(session), async (upstream) => {
      await add(5)(upstream);
      await a.ownership.save(session, [{ serverId: "s1", sessionId: upstream.id, resumable: true }]);
    });
    await a.pool.close({ handOver: true });
    await a.ownership.close();
    const won = await b.ownership.reclaim(session, "ann");
    if (won.kind !== "won") throw new Error(won.kind);
    const resume = won.upstream[0]?.sessionId ?? "";
    expect(await b.pool.run(b.keyOf(session), read, { context: { resume } })).toMatchObject({ value: 5 });
    expect(server.stats()).toMatchObject({ sessionsOpened: 1, sessionsClosed: 0 });
  });
});
