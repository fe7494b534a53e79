import { randomUUID } from "node:crypto";
import { createRedisOwnership, type SessionState } from "@gatewright/session-pool/redis";
import { startRedis } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { localPrincipal } from "../src/auth/principal.ts";
import { DownstreamSessions } from "../src/downstream/downstream-sessions.ts";
import { TakeOvers } from "../src/replicas/take-overs.ts";

const target = JSON.stringify({ kind: "aggregate" });
const hello = JSON.stringify({
  protocolVersion: "2025-11-25",
  clientInfo: { name: "c", version: "1" },
  capabilities: {},
});

it("a session of which is not kept who its client is and what it asked for is gone, not begun anew", async () => {
  const redis = await startRedis();
  const replica = () =>
    createRedisOwnership(
      {
        advertiseUrl: "http://127.0.0.1:1",
        sealKeys: [Buffer.alloc(32, 7)],
        signKeys: [Buffer.alloc(32, 9)],
      },
      { redis: redis.client({ enableOfflineQueue: true }), onEvict: () => {}, onOwnershipLost: () => {} },
    );
  const sessions = new DownstreamSessions({
    maxSessions: 10,
    idleMs: 60_000,
    maxBufferedBytes: 10,
    onEnd: () => undefined,
  });
  const takeOvers = new TakeOvers({ sessions, onTakenOver: () => undefined, onError: () => undefined });
  const next = replica();
  const takeOver = async (state: SessionState) => {
    const [first, id] = [replica(), randomUUID()];
    await first.claim(id, localPrincipal.key, { state });
    await first.close();
    const taken = await takeOvers.take(next, id, localPrincipal).catch((error) => error.code);
    return [taken, (await next.locate(id, localPrincipal.key, { fresh: true })).kind];
  };
  for (const state of [{}, { hello }, { target }]) {
    expect(await takeOver(state as SessionState)).toEqual(["not_found", "unknown"]);
  }
  expect(sessions.size).toBe(0);
  expect(await takeOver({ hello, target })).toEqual([true, "mine"]);
  sessions.close();
  await next.close();
  await redis.close();
});
