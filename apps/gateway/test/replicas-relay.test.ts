import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { buffer, text } from "node:stream/consumers";
import { createFaultProxy, type FaultProxy } from "@gatewright/db-resilience/testing";
import {
  type CounterFixture,
  type SlowFixture,
  startCounterServer,
  startSlowServer,
} from "@gatewright/mcp-fixtures";
import { createRedisOwnership } from "@gatewright/session-pool/redis";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRaw } from "./support/raw-client.ts";
import { openSession, quickOwners, type ReplicaSet, startReplicaSet } from "./support/replica-set.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let redis: RedisServer;
let counter: CounterFixture;
let slow: SlowFixture;
let set: ReplicaSet;
/** In front of what other replicas reach A by. */
let proxy: FaultProxy;
let a: TestGateway;
let b: TestGateway;
let counterPath: string;
let slowPath: string;

beforeAll(async () => {
  [redis, counter, slow] = await Promise.all([startRedis(), startCounterServer(), startSlowServer()]);
  proxy = await createFaultProxy({ upstream: { host: "127.0.0.1", port: 1 } });
  set = await startReplicaSet(redis, 0, {
    sessions: { owners: { ...quickOwners, deadAfterMs: 60_000 } },
    // A stream that is silent for three of its signs of life counts as lost, on a busy machine, too.
    limits: { streamKeepAliveMs: 500, streamAfterMs: 50 },
    plugins: [{ name: "rate_limiter", config: { rules: { by_user: "40/m" } } }],
  });
  a = await set.add({ server: { replicaUrl: `http://127.0.0.1:${proxy.port}` } });
  b = await set.add();
  proxy.setUpstream({ host: "127.0.0.1", port: Number(new URL(a.url).port) });
  counterPath = `/servers/${await set.register({ name: "counter", url: counter.url })}/mcp`;
  slowPath = `/servers/${await set.register({ name: "slow", url: slow.url })}/mcp`;
});

afterAll(async () => {
  await set?.[Symbol.asyncDispose]();
  await Promise.all([proxy.close(), redis.close(), counter.close(), slow.close()]);
});

const note = (text: string) =>
  Buffer.from(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"${text}"}}`);

/** A session of a replica that is but `server`, and a client of the same principal. */
async function ownedAt(server: Server) {
  const known = await openSession(b, counterPath);
  const { principal } = b.core.sessions.peek(known.id) ?? {};
  const ownership = createRedisOwnership(
    {
      advertiseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      sealKeys: [Buffer.alloc(32)],
      signKeys: [Buffer.alloc(32)],
    },
    { redis: redis.client(), onEvict: () => undefined, onOwnershipLost: () => undefined },
  );
  const id = randomUUID();
  await ownership.claim(id, principal?.key ?? "");
  return { known, id, ownership };
}

const forwards = async (at: TestGateway, outcome: string) => {
  const { body } = await at.rest("GET", "/metrics");
  return Number(
    new RegExp(`gatewright_forwards_total\\{outcome="${outcome}"\\} (\\d+)`).exec(body)?.[1] ?? 0,
  );
};

describe("a stream at B of a session of A", () => {
  it("brings what A's session has to say, stays open on comments, and resumes from A's log", async () => {
    const session = await openSession(a, counterPath);
    const headers = { "mcp-session-id": session.id, "mcp-protocol-version": "2025-11-25" };
    const stream = await openRaw(b, counterPath, { method: "GET", headers });
    expect(stream.status).toBe(200);
    expect(stream.headers["content-type"]).toContain("text/event-stream");
    const own = await eventually(() => a.core.sessions.peek(session.id) ?? false);
    await eventually(() => own.streaming);
    own.deliver(note("one"));
    await eventually(() => stream.events.length === 1);
    const bytes = proxy.stats().bytes.down;
    await eventually(() => proxy.stats().bytes.down > bytes);
    stream.cut();
    await eventually(() => !own.streaming);
    own.deliver(note("two"));
    own.deliver(note("three"));
    const resumed = await openRaw(b, counterPath, {
      method: "GET",
      headers: { ...headers, "last-event-id": String(stream.events[0]?.id) },
    });
    await eventually(() => resumed.events.length === 2);
    expect(resumed.events.map(({ data }) => data.params.data)).toEqual(["two", "three"]);
    const unknown = await openRaw(b, counterPath, {
      method: "GET",
      headers: { ...headers, "last-event-id": "7-1" },
    });
    expect(unknown.status).toBe(400);
    resumed.cut();
  });

  it("ends with its client's connection, and with A's stream", async () => {
    const session = await openSession(a, counterPath);
    const headers = { "mcp-session-id": session.id };
    const stream = await openRaw(b, counterPath, { method: "GET", headers });
    const own = await eventually(() => a.core.sessions.peek(session.id) ?? false);
    await eventually(() => own.streaming);
    own.endStream();
    await eventually(() => stream.ended);
  });
});

// They wait beside each other.
describe.concurrent("what takes long at B, of a session of A:", () => {
  it("a stream has no deadline, whatever its client says of its calls", async () => {
    const session = await openSession(a, counterPath);
    const headers = { "mcp-session-id": session.id, "x-gatewright-timeout-ms": "100" };
    const stream = await openRaw(b, counterPath, { method: "GET", headers });
    const own = await eventually(() => a.core.sessions.peek(session.id) ?? false);
    await eventually(() => own.streaming);
    // Longer than a call with that little time would be waited for, and its owner's grace.
    const begin = performance.now();
    await eventually(() => performance.now() - begin > 3_000);
    own.deliver(note("late"));
    await eventually(() => stream.events.length === 1);
    stream.cut();
  });

  it("a call of a longer time than A may be silent is answered, since A gives signs of life", async () => {
    const session = await openSession(a, slowPath);
    const answer = await session.request(
      b,
      "tools/call",
      { name: "slow", arguments: { ms: 3_000 } },
      { accept: "application/json" },
    );
    expect(answer.body.result).toBeDefined();
  });
});

describe("a call at B of a session of A", () => {
  it("is charged once, and its answer brings the limiter's headers", async () => {
    const token = await a.mint({ user: "charged" });
    const session = await openSession(a, counterPath, token);
    const answers = [];
    for (let count = 0; count < 41; count++) {
      answers.push(await session.request(b, "tools/call", { name: "add", arguments: { amount: 1 } }));
    }
    expect(answers.slice(0, 40).every(({ body }) => body.result !== undefined)).toBe(true);
    expect(answers[40]?.status).toBe(429);
    expect(answers[40]?.headers.get("retry-after")).not.toBeNull();
  });

  it("of some length is answered by a stream, as at A itself", async () => {
    const session = await openSession(a, slowPath);
    const answer = await session.request(b, "tools/call", {
      name: "slow",
      arguments: { ms: 300 },
    });
    expect(answer.headers.get("content-type")).toContain("text/event-stream");
    expect(answer.body.result).toBeDefined();
  });

  it("has the time that its caller has left, and no more", async () => {
    const session = await openSession(a, slowPath);
    const begin = performance.now();
    const late = await session.request(
      b,
      "tools/call",
      { name: "slow", arguments: { ms: 20_000 } },
      { "x-gatewright-timeout-ms": "300" },
    );
    expect(late.body.error.data.code).toBe("upstream_timeout");
    expect(performance.now() - begin).toBeLessThan(10_000);
  });

  it("that nobody waits for any more is refused for what it is all the same", async () => {
    const session = await openSession(a, counterPath);
    const now = { "x-gatewright-timeout-ms": "0" };
    const stranger = { ...now, authorization: `Bearer ${await a.mint({ user: "mallory" })}` };
    expect((await session.request(b, "ping", {}, stranger)).status).toBe(403);
    expect((await session.request(b, "ping", {}, { ...now, "mcp-session-id": "x" })).status).toBe(404);
    expect((await session.request(b, "ping", {}, now)).body.result).toEqual({});
  });

  it("whose way is blackholed is outcome_unknown, never repeated, and the session goes on once it is healed", async () => {
    const session = await openSession(a, counterPath);
    await session.tool(b, "add", { amount: 1 });
    const before = await forwards(b, "unknown");
    proxy.set({ up: { blackhole: true }, down: { blackhole: true } });
    const lost = await session.request(b, "tools/call", { name: "add", arguments: { amount: 10 } });
    expect(lost.body.error.data).toMatchObject({ code: "outcome_unknown", retryable: false });
    expect(await session.tool(a, "read")).toMatchObject({ value: 1 });
    expect(await forwards(b, "unknown")).toBe(before + 1);
    // Now that A is suspect it is looked at first: what is sent to nobody is certainly not executed.
    const refused = await session.request(b, "tools/call", { name: "add", arguments: { amount: 10 } });
    expect(refused.status).toBe(503);
    expect(refused.body.error.data).toMatchObject({ code: "session_owner_unreachable", retryable: true });
    proxy.heal();
    proxy.resetConnections();
    expect(await session.tool(b, "add", { amount: 2 })).toMatchObject({ value: 3 });
  });

  it("whose answer is lost on the way says that its outcome is unknown, in JSON and in a stream", async () => {
    const session = await openSession(a, slowPath);
    const running = () => (a.core.sessions.peek(session.id)?.calls.size ?? 0) > 0;
    const slow = { name: "slow", arguments: { ms: 800 } };
    const json = session.request(b, "tools/call", slow, { accept: "application/json" });
    await eventually(running);
    proxy.resetConnections();
    expect((await json).body.error.data.code).toBe("outcome_unknown");
    await eventually(() => !running());

    const body = { jsonrpc: "2.0", id: "lost", method: "tools/call", params: slow };
    // Its head has come by B when this resolves.
    const stream = await openRaw(b, slowPath, { body, headers: { "mcp-session-id": session.id } });
    expect(stream.headers["content-type"]).toContain("text/event-stream");
    proxy.resetConnections();
    await eventually(() => stream.ended);
    expect(stream.events.at(-1)?.data).toMatchObject({
      id: "lost",
      error: { data: { code: "outcome_unknown" } },
    });
  });

  it("is refused at A's internal route when it is not signed, and counted", async () => {
    for (const body of ["", "no envelope", "v1.e30.forged\n{}"]) {
      const response = await fetch(`${a.url}/internal/forward`, { method: "POST", body });
      expect(response.status).toBe(403);
      expect(await response.text()).toBe("");
    }
    const { body } = await a.rest("GET", "/metrics");
    expect(body).toMatch(/gatewright_envelopes_refused_total\{reason="unsigned"\} [1-9]/);
    expect(body).toMatch(/gatewright_envelopes_refused_total\{reason="tampered"\} [1-9]/);
    await using sole = await startTestGateway();
    expect((await fetch(`${sole.url}/internal/forward`, { method: "POST", body: "" })).status).toBe(404);
  });

  it("is refused at A's internal route before its body has come, when no replica signed it", async () => {
    const { port } = new URL(a.url);
    for (const begun of ["v1.e30.forged\n{", "x".repeat(300_000)]) {
      const socket = connect(Number(port), "127.0.0.1");
      socket.on("error", () => undefined);
      socket.write(
        `POST /internal/forward HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 900000\r\n\r\n${begun}`,
      );
      // Nothing more is sent: what is not waited for ends the connection.
      expect(await text(socket)).toMatch(/^HTTP\/1\.1 403 /);
    }
  });

  it("that comes twice on its way is executed once, and the second answer says that its outcome is unknown", async () => {
    const doubling = createServer(async (request, response) => {
      const body = await buffer(request);
      const headers = { "mcp-session-id": String(request.headers["mcp-session-id"]) };
      const send = () => fetch(`${c.url}${request.url}`, { method: "POST", headers, body });
      await (await send()).text();
      const second = await send();
      response.writeHead(second.status, Object.fromEntries(second.headers)).end();
    }).listen(0, "127.0.0.1");
    await once(doubling, "listening");
    const replicaUrl = `http://127.0.0.1:${(doubling.address() as AddressInfo).port}`;
    const c = await set.add({ server: { replicaUrl } });
    const session = await openSession(c, counterPath);
    const lost = await session.request(b, "tools/call", { name: "add", arguments: { amount: 1 } });
    expect(lost.body.error.data).toMatchObject({ code: "outcome_unknown", retryable: false });
    expect(await session.tool(c, "read")).toMatchObject({ value: 1 });
    doubling.close();
    doubling.closeAllConnections();
  });

  it("is forwarded twice at most, within the time of its caller, while nobody says that it is the owner", async () => {
    const left: number[] = [];
    const other = createServer(async (request, response) => {
      const [envelope = ""] = (await text(request)).split("\n");
      left.push(JSON.parse(Buffer.from(envelope.split(".")[1] ?? "", "base64url").toString()).remainingMs);
      await new Promise((resolve) => setTimeout(resolve, 200));
      response.writeHead(421, { "x-gatewright-refused": "misdirected", "content-length": 0 }).end();
    }).listen(0, "127.0.0.1");
    await once(other, "listening");
    const { known, id, ownership } = await ownedAt(other);
    const headers = { "mcp-session-id": id, "x-gatewright-timeout-ms": "5000" };
    const refused = await known.request(b, "tools/call", { name: "read", arguments: {} }, headers);
    expect(refused.status).toBe(503);
    expect(refused.body.error.data).toMatchObject({ code: "session_owner_unreachable", retryable: true });
    const [first = 0, second = 0, ...more] = left;
    expect(more).toEqual([]);
    expect(first).toBeLessThanOrEqual(5_000);
    expect(second).toBeGreaterThan(0);
    expect(first - second).toBeGreaterThanOrEqual(190);
    await ownership.close();
    other.close();
    other.closeAllConnections();
  });

  it("that its owner refuses, since their clocks differ, is no outage: its client and the log are told why", async () => {
    const other = createServer((_, response) => {
      response.writeHead(403, { "x-gatewright-refused": "expired", "content-length": 0 }).end();
    }).listen(0, "127.0.0.1");
    await once(other, "listening");
    const { known, id, ownership } = await ownedAt(other);
    const { body } = await known.request(b, "ping", {}, { "mcp-session-id": id });
    expect(body.error).toMatchObject({
      message: expect.stringContaining("refused the request: expired"),
      data: { code: "session_owner_unreachable", retryable: true },
    });
    expect(b.logs.filter((line) => line.includes("clocks of the two differ"))).toHaveLength(1);
    await ownership.close();
    other.close();
    other.closeAllConnections();
  });

  it("that comes to a replica which owns the session no longer is sent once more, to the one that does", async () => {
    const c = await set.add();
    const session = await openSession(a, counterPath);
    await session.tool(b, "add", { amount: 1 });
    // B remembers A for a second.
    a.core.replicas.handOver();
    expect(await session.tool(c, "add", { amount: 1 })).toMatchObject({ value: 2 });
    const before = await forwards(b, "misdirected");
    expect(await session.tool(b, "add", { amount: 1 })).toMatchObject({ value: 3 });
    expect(await forwards(b, "misdirected")).toBe(before + 1);
    expect(c.core.sessions.size).toBe(1);
  });
});

describe("a request for a certain replica", () => {
  it("is refused when that is gone", async () => {
    await expect(
      b.core.replicas.forward("00000000-0000-0000-0000-000000000000", {} as never),
    ).rejects.toMatchObject({ code: "session_owner_unreachable" });
  });
});
