import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { forwardFailure, type SessionLocation } from "@gatewright/session-pool/redis";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EnvelopeCodec } from "../src/redis/envelope.ts";
import { NonceMemory } from "../src/redis/nonce-memory.ts";
import { seal, unseal } from "../src/redis/seal.ts";
import { createPoolClock } from "./support/pool-clock.ts";
import { signKey, startReplica } from "./support/replica.ts";

const request = { method: "POST", path: "/mcp", body: '{"jsonrpc":"2.0","id":1,"method":"ping"}' };
const claims = { to: "owner", session: "s", epoch: 1, payload: "ann", remainingMs: 1500 };

function codecs(options: { keys?: readonly Uint8Array[]; maxNonces?: number } = {}) {
  const { clock, time } = createPoolClock();
  const common = { keys: [signKey], maxAgeMs: 30_000, maxNonces: 100, ...options };
  const edge = new EnvelopeCodec({ ...common, keys: [signKey], instanceId: "edge" }, clock);
  const owner = new EnvelopeCodec({ ...common, instanceId: "owner" }, clock);
  return { edge, owner, time };
}

describe("a forwarding envelope", () => {
  it("carries who asks, and how much time is left", () => {
    const { edge, owner } = codecs();
    expect(owner.open(edge.sign(claims, request), request)).toEqual({
      kind: "accepted",
      claims: { ...claims, from: "edge" },
    });
    const stream = owner.open(edge.sign({ ...claims, remainingMs: undefined }, request), request);
    expect(stream).toMatchObject({ kind: "accepted", claims: { remainingMs: undefined } });
  });

  it.each([
    ["unsigned", undefined],
    ["unsigned", "Bearer x"],
    ["unsigned", "v2.a.b"],
    ["tampered", "v1.e30.AAAA"],
  ] as const)("is refused as %s: %s", (reason, envelope) => {
    const { owner } = codecs();
    expect(owner.open(envelope, request)).toEqual({ kind: "refused", reason });
    expect(owner.refused[reason]).toBe(1);
  });

  it("is refused when any part of it or of the request was changed", () => {
    const { edge, owner } = codecs();
    const envelope = edge.sign(claims, request);
    const [version, body = "", mac] = envelope.split(".");
    const forged = Buffer.from(Buffer.from(body, "base64url").toString().replace("ann", "bob")).toString(
      "base64url",
    );
    for (const [text, asked] of [
      [`${version}.${forged}.${mac}`, request],
      [`${envelope.slice(0, -2)}AA`, request],
      [`${envelope}A`, request],
      [envelope, { ...request, body: `${request.body} ` }],
      [envelope, { ...request, method: "DELETE" }],
      [envelope, { ...request, path: "/mcp/http" }],
    ] as const) {
      expect(owner.open(text, asked)).toEqual({ kind: "refused", reason: "tampered" });
    }
    expect(owner.refused.tampered).toBe(6);
  });

  it("is good once", () => {
    const { edge, owner, time } = codecs();
    const envelope = edge.sign(claims, request);
    expect(owner.open(envelope, request).kind).toBe("accepted");
    expect(owner.open(envelope, request)).toEqual({ kind: "refused", reason: "replayed" });
    time.advanceSync(29_000);
    expect(owner.open(envelope, request)).toEqual({ kind: "refused", reason: "replayed" });
    time.advanceSync(2000);
    expect(owner.open(envelope, request)).toEqual({ kind: "refused", reason: "expired" });
    expect(owner.refused).toMatchObject({ replayed: 2, expired: 1 });
  });

  it("of a stranger is known before its request is, and one of ours is not used up by that", () => {
    const { edge, owner } = codecs();
    const envelope = edge.sign(claims, request);
    expect([undefined, `${envelope}A`, envelope].map((text) => owner.judge(text))).toEqual([
      "unsigned",
      "tampered",
      undefined,
    ]);
    expect(owner.open(envelope, request).kind).toBe("accepted");
    expect(owner.refused).toMatchObject({ unsigned: 1, tampered: 1, replayed: 0 });
  });

  it("is good for one replica, and one hop", () => {
    const { edge, owner } = codecs();
    expect(owner.open(edge.sign({ ...claims, to: "other" }, request), request)).toMatchObject({
      reason: "misaddressed",
    });
    expect(owner.open(edge.sign(claims, request, 2), request)).toMatchObject({ reason: "hop_limit" });
  });

  it("is accepted under the previous key while keys are rotated, and under no other", () => {
    const rotated = codecs({ keys: [Buffer.alloc(32, 1), signKey] });
    expect(rotated.owner.open(rotated.edge.sign(claims, request), request).kind).toBe("accepted");
    const foreign = codecs({ keys: [Buffer.alloc(32, 1)] });
    expect(foreign.owner.open(foreign.edge.sign(claims, request), request)).toMatchObject({
      reason: "tampered",
    });
  });

  it("is refused rather than accepted unchecked when the memory for nonces is full", () => {
    const { edge, owner } = codecs({ maxNonces: 1 });
    owner.open(edge.sign(claims, request), request);
    expect(owner.open(edge.sign(claims, request), request)).toMatchObject({ reason: "overloaded" });
  });
});

describe("the nonce memory", () => {
  it("remembers for at least its window and forgets in the end", () => {
    const memory = new NonceMemory(100, 10, 0);
    expect(memory.check("a", 99)).toBe("fresh");
    expect(memory.check("a", 150)).toBe("seen");
    expect(memory.check("a", 199)).toBe("seen");
    expect(memory.check("a", 260)).toBe("fresh");
    expect(memory.check("a", 1000)).toBe("fresh");
  });
});

describe("sealing", () => {
  const key = Buffer.alloc(32, 3);
  it("hides text and opens it only in its place and untouched", () => {
    const sealed = seal("upstream-id", key, "record 1");
    expect(sealed).not.toContain("upstream-id");
    expect(seal("upstream-id", key, "record 1")).not.toBe(sealed);
    expect(unseal(sealed, [Buffer.alloc(32, 4), key], "record 1")).toBe("upstream-id");
    expect(unseal(sealed, [key], "record 2")).toBeUndefined();
    expect(unseal(`${sealed.slice(0, -2)}AA`, [key], "record 1")).toBeUndefined();
    expect(unseal("short", [key], "record 1")).toBeUndefined();
  });
});

describe("forwarding between replicas", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.close());

  it("that never got there may be repeated; one that was sent and not answered has an unknown outcome", async () => {
    const location = { kind: "remote", owner: "a", url: "", epoch: 1, deadInMs: 2_000 } as const;
    const answer: { end: (socket: Socket) => void } = { end: (socket) => void socket.destroy() };
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => answer.end(socket));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const forward = (signal?: AbortSignal) =>
      fetch(url, { method: "POST", body: "{}", ...(signal && { signal }) }).then(
        () => undefined,
        (cause) => forwardFailure(location, cause),
      );
    const unknown = { code: "outcome_unknown", retryable: false };
    expect(await forward()).toMatchObject(unknown);
    answer.end = (socket) => void socket.resetAndDestroy();
    expect(await forward()).toMatchObject(unknown);
    answer.end = () => undefined;
    expect(await forward(AbortSignal.timeout(100))).toMatchObject(unknown);
    server.close();
    answer.end = (socket) => void socket.destroy();
    await eventually(async () => (await forward())?.code === "session_owner_unreachable");
    expect(await forward()).toMatchObject({ retryable: true, details: { retryAfterMs: 2_000 } });
  });

  it("that ended without a route to the owner is known not to have been sent only where connecting failed", () => {
    const location = { kind: "remote", owner: "a", url: "", epoch: 1, deadInMs: 2_000 } as const;
    const failed = (cause: object) => forwardFailure(location, new TypeError("fetch failed", { cause })).code;
    const inUse = { code: "EHOSTUNREACH", syscall: "read" };
    const connecting = { code: "EHOSTUNREACH", syscall: "connect" };
    expect(failed(connecting)).toBe("session_owner_unreachable");
    expect(failed({ code: "ENETUNREACH", errors: [connecting] })).toBe("session_owner_unreachable");
    expect([failed(inUse), failed({ code: "EHOSTDOWN" })]).toEqual(["outcome_unknown", "outcome_unknown"]);
  });

  it("is accepted by the owner and misdirected to anybody else", async () => {
    const a = await startReplica(redis);
    const b = await startReplica(redis);
    const session = randomUUID();
    await a.ownership.claim(session, "ann");
    const to = (await b.ownership.locate(session, "ann")) as Extract<SessionLocation, { kind: "remote" }>;
    const sign = () => b.ownership.sign(to, session, { ...request, payload: "ann", remainingMs: 900 });
    expect(a.ownership.open(sign(), session, request)).toMatchObject({
      kind: "accepted",
      claims: { payload: "ann", remainingMs: 900, from: b.ownership.instanceId },
    });
    expect(a.ownership.open(sign(), randomUUID(), request)).toEqual({ kind: "misdirected" });
    expect(a.ownership.open(undefined, session, request)).toEqual({ kind: "refused", reason: "unsigned" });
    const late = sign();
    await b.ownership.end(session, "ann");
    const released = await a.ownership.locate(session, "ann").then(() => a.ownership);
    await a.ownership.close();
    expect(released.open(late, session, request)).toEqual({ kind: "misdirected" });
    expect(a.ownership.stats().envelopesRefused).toMatchObject({ unsigned: 1, tampered: 0 });
    await b.ownership.close();
  });
});
