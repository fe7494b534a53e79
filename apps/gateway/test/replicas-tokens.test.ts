import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { type SlowFixture, startSlowServer } from "@gatewright/mcp-fixtures";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newApiKey } from "../src/auth/api-keys.ts";
import { applyHead, encodeHead } from "../src/replicas/forward-head.ts";
import { openRaw } from "./support/raw-client.ts";
import { openSession, quickOwners, type ReplicaSet, startReplicaSet } from "./support/replica-set.ts";
import type { TestGateway } from "./support/test-gateway.ts";

const { key, sha256 } = newApiKey();
let redis: RedisServer;
let slow: SlowFixture;
let set: ReplicaSet;
let a: TestGateway;
let b: TestGateway;
let path: string;

beforeAll(async () => {
  [redis, slow] = await Promise.all([startRedis(), startSlowServer()]);
  set = await startReplicaSet(redis, 2, {
    sessions: { owners: { ...quickOwners, deadAfterMs: 60_000, silenceMs: 10_000 } },
    auth: { apiKeys: [{ name: "robot", sha256 }] },
    // A's own bound is not what ends a stream here.
    limits: { streamBufferBytes: 67_108_864 },
  });
  [a, b] = set.replicas as [TestGateway, TestGateway];
  path = `/servers/${await set.register({ name: "slow", url: slow.url })}/mcp`;
});

afterAll(async () => {
  await set?.[Symbol.asyncDispose]();
  await Promise.all([redis.close(), slow.close()]);
});

/** The stream of a session of A, read at B. */
async function relayedStream(token: string) {
  const session = await openSession(a, path, token);
  const headers = { "mcp-session-id": session.id, authorization: `Bearer ${token}` };
  const stream = await openRaw(b, path, { method: "GET", headers });
  const own = await eventually(() => a.core.sessions.peek(session.id) ?? false);
  await eventually(() => own.streaming);
  return { stream, own };
}

/** Changes the settings of `gateway` for as long as `during` takes. */
async function withAuth(gateway: TestGateway, auth: object, during: () => Promise<unknown>) {
  const { current } = gateway.core.liveConfig;
  await gateway.core.liveConfig.apply({ ...current, auth: { ...current.auth, ...auth } });
  await during().finally(() => gateway.core.liveConfig.apply(current));
}

describe("a stream of A that is relayed by B", () => {
  it("ends when B's configuration takes its key away; what another token opened stays", async () => {
    const other = await relayedStream(b.token);
    const mine = await relayedStream(key);
    await withAuth(b, { apiKeys: [] }, async () => {
      await eventually(() => mine.stream.ended && !mine.own.streaming);
      expect(other.own.streaming).toBe(true);
      expect(other.stream.ended).toBe(false);
    });
    other.stream.cut();
    await eventually(() => !other.own.streaming);
  });

  it("ends when B asks something else of tokens, though its client does not read", async () => {
    const mine = await relayedStream(a.token);
    mine.stream.pause();
    // More than sockets on the way hold.
    const data = "x".repeat(1_048_576);
    const note = `{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"${data}"}}`;
    for (let sent = 0; sent < 24; sent++) mine.own.deliver(Buffer.from(note));
    await withAuth(b, { audience: "somebody else" }, () => eventually(() => !mine.own.streaming));
    mine.stream.cut();
  });
});

describe("the head of a forwarded request", () => {
  it.each([
    ["the time", 2_000_000_000_000, 2_000_000_000_000],
    ["no time, where it never does", Number.POSITIVE_INFINITY, undefined],
  ])("says when the token runs out: %s", async (_, expiresAtMs, told) => {
    const known = await b.core.authenticator.authenticate(`Bearer ${key}`);
    const request = new IncomingMessage(new Socket());
    const text = encodeHead({
      request,
      response: new ServerResponse(request),
      body: Buffer.alloc(0),
      principal: { ...known, expiresAtMs },
      clientIp: "::1",
      requestId: "r-1",
      idText: undefined,
    });
    const { principal } = applyHead(text, request);
    expect(principal.expiresAtMs).toBe(told);
    expect(principal.scopes).toEqual(known.scopes);
  });
});
