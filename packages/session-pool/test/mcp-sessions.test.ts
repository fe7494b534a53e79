import { randomUUID } from "node:crypto";
import { startCounterServer, startSlowServer } from "@gatewright/mcp-fixtures";
import {
  createSessionPool,
  type SessionKey,
  type SessionPoolObserver,
  type SessionPoolOptions,
} from "@gatewright/session-pool";
import { eventually, reservePort } from "@gatewright/testkit";
import { describe, expect, it, onTestFinished } from "vitest";
import { downstreamKey, identityKey, keys, sessionlessKey, stateless } from "./support/keys.ts";
import { callTool, McpFactory, type McpSession, rpc } from "./support/mcp-factory.ts";
import { createPoolClock } from "./support/pool-clock.ts";

interface Count {
  readonly value: number;
  readonly session: string;
}

function poolOf(url: string, options: SessionPoolOptions = {}, observer: SessionPoolObserver = {}) {
  const factory = new McpFactory(() => url);
  const pool = createSessionPool(options, { factory, observer });
  onTestFinished(async () => void (await pool.close({ deadlineMs: 0 })));
  return { factory, pool };
}

async function counter(guard?: (request: Request) => Response | undefined) {
  const server = await startCounterServer(guard === undefined ? {} : { guard });
  onTestFinished(() => server.close());
  return server;
}

const add = (amount: number) => (session: McpSession) => callTool<Count>(session, "add", { amount });
const read = (session: McpSession) => callTool<Count>(session, "read");
const silence = () => new Response(new ReadableStream(), { headers: { "content-type": "application/json" } });

describe("sessions of real MCP servers", () => {
  it("SP-1 the same key twice is one create and one reuse", async () => {
    const server = await counter();
    const { pool } = poolOf(server.url);
    const key = downstreamKey();
    await pool.run(key, add(2));
    expect(await pool.run(key, read)).toMatchObject({ value: 2 });
    expect(server.stats().sessionsOpened).toBe(1);
    expect(server.stats().requests["initialize"]).toBe(1);
    expect(pool.stats()).toMatchObject({ hits: 1, misses: 1 });
  });

  it("SP-1 two downstream sessions of one user have a state each, in two upstream sessions", async () => {
    const server = await counter();
    const { pool } = poolOf(server.url);
    const [a, b] = [downstreamKey("a"), downstreamKey("b")];
    await Promise.all([pool.run(a, add(5)), pool.run(b, add(3))]);
    const [ofA, ofB] = await Promise.all([pool.run(a, read), pool.run(b, read)]);
    expect([ofA.value, ofB.value]).toEqual([5, 3]);
    expect(ofA.session).not.toBe(ofB.session);
    expect(server.stats().sessionsOpened).toBe(2);
  });

  it("SP-2 callers without identity get sessions of their own, closed behind them", async () => {
    const server = await counter();
    const { pool } = poolOf(server.url);
    for (let i = 0; i < 2; i++) {
      expect(await pool.run(keys.identity(stateless(), { headers: {} }), add(1))).toMatchObject({ value: 1 });
    }
    expect(server.stats().sessionsOpened).toBe(2);
    await eventually(() => server.stats().sessionsClosed === 2);
  });

  it("SP-3 a waiter is served when the holder lets go, and refused on time when it does not", async () => {
    const server = await counter();
    const { pool } = poolOf(server.url, { maxConcurrencyPerSession: 1, maxPerKey: 1, acquireTimeoutMs: 200 });
    const holder = await pool.acquire(identityKey());
    setTimeout(() => holder.release(), 50);
    let begin = performance.now();
    const next = await pool.acquire(identityKey());
    const served = performance.now() - begin;
    expect(served).toBeGreaterThan(30);
    expect(served).toBeLessThan(1_000);
    const before = pool.stats();
    begin = performance.now();
    await expect(pool.acquire(identityKey())).rejects.toMatchObject({ code: "acquire_timeout" });
    const refused = performance.now() - begin;
    expect(refused).toBeGreaterThan(195);
    expect(refused).toBeLessThan(5 * 200);
    const { sessions, leases, queueDepth } = pool.stats();
    expect({ sessions, leases, queueDepth }).toEqual({
      sessions: before.sessions,
      leases: before.leases,
      queueDepth: 0,
    });
    next.release();
  });

  it("SP-4 a session whose server hangs is replaced; one that only lacks ping is kept", async () => {
    let mood: "well" | "hung" | "no_ping" = "well";
    const server = await counter((request) => {
      const method = request.headers.get("mcp-method");
      if (mood === "hung" && method === "ping") return silence();
      if (mood !== "no_ping" || method !== "ping") return undefined;
      return Response.json({ jsonrpc: "2.0", id: 1, error: { code: -32601, message: "Method not found" } });
    });
    const { pool, factory } = poolOf(server.url, { idleCheckMs: 1, probeTimeoutMs: 1_500 });
    const idle = () => new Promise((resolve) => setTimeout(resolve, 5));
    await pool.run(identityKey(), read);
    mood = "no_ping";
    await idle();
    await pool.run(identityKey(), read);
    expect(server.stats()).toMatchObject({ sessionsOpened: 1, requests: { ping: 1, "tools/list": 1 } });
    mood = "hung";
    await idle();
    await pool.run(identityKey(), read);
    expect(server.stats().sessionsOpened).toBe(2);
    expect(factory.closed).toEqual(["unhealthy"]);
    expect(pool.stats().probeFailures).toBe(1);
  });

  it("SP-5 after a restart of the upstream a read is repeated, a write is not, and the next call works", async () => {
    const port = await reservePort();
    let server = await startCounterServer({ port: port.port });
    onTestFinished(async () => {
      await server.close();
      port.release();
    });
    const { pool } = poolOf(server.url);
    const key = downstreamKey();
    const restart = async () => {
      await server.close();
      server = await startCounterServer({ port: port.port });
    };
    await pool.run(key, add(5));
    await restart();
    expect(await pool.run(key, read, { repeatable: true })).toMatchObject({ value: 0 });
    await restart();
    await expect(pool.run(key, add(1))).rejects.toMatchObject({ code: "outcome_unknown" });
    expect(server.ledger.entries()).toEqual([]);
    expect(await pool.run(key, add(1))).toMatchObject({ value: 1 });
    expect(pool.stats().evictions["lost"]).toBe(2);
  });

  it("SP-5 a lost session is replaced under steady traffic: nobody's call goes on to meet the dead one", async () => {
    const server = await counter();
    const { pool } = poolOf(server.url);
    const key = downstreamKey();
    const first = await pool.run(key, read);
    let done = false;
    let served = 0;
    const sessions = new Set<string>();
    // The session is never idle, so no probe and no age would ever find it dead.
    const callers = Array.from({ length: 8 }, async () => {
      while (!done) {
        const { session } = await pool.run(key, read, { repeatable: true });
        if (served++ > 100) sessions.add(session);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    });
    await eventually(() => served > 40);
    const ended = await fetch(server.url, { method: "DELETE", headers: { "mcp-session-id": first.session } });
    expect(ended.status).toBe(200);
    await eventually(() => served > 200);
    done = true;
    await Promise.all(callers);
    expect([...sessions]).not.toContain(first.session);
    expect(sessions.size).toBe(1);
    expect(pool.stats().evictions).toEqual({ lost: 1 });
  });

  it("SP-6 a 401 evicts the session, and the next one is opened with refreshed credentials", async () => {
    let accepted = "t1";
    const server = await counter((request) =>
      request.method === "DELETE" || request.headers.get("authorization") === `Bearer ${accepted}`
        ? undefined
        : new Response(null, { status: 401 }),
    );
    const { pool, factory } = poolOf(server.url);
    factory.tokens = ["t1", "t2", "t3"];
    const key = downstreamKey();
    await pool.run(key, add(1));
    accepted = "t2";
    expect(await pool.run(key, add(1))).toMatchObject({ value: 1 });
    expect(factory.closed).toEqual(["unauthorized"]);
    expect(factory.tokens).toEqual(["t2", "t3"]);
    accepted = "t3";
    await pool.run(downstreamKey("other"), add(1));
    expect(factory.tokens).toEqual(["t3"]);
  });

  describe("SP-7 leases of one session", () => {
    it.each([
      [16, 3],
      [1, 1],
    ])("%i allowed: three parallel calls are %i at a time at the server", async (each, atOnce) => {
      const server = await startSlowServer({ era: "legacy" });
      onTestFinished(() => server.close());
      const { pool } = poolOf(server.url, { maxConcurrencyPerSession: each });
      const key = downstreamKey();
      await pool.run(key, (session) => rpc(session, "ping", {}));
      const begin = performance.now();
      await Promise.all(
        [1, 2, 3].map(() => pool.run(key, (session) => callTool(session, "slow", { ms: 300 }))),
      );
      const tookMs = performance.now() - begin;
      expect(server.stats()).toMatchObject({ concurrentMax: atOnce, sessionsOpened: 1 });
      if (each === 1) expect(tookMs).toBeGreaterThan(890);
    });
  });

  it("SP-8 an abort in mid-connect harms nobody else and leaks nothing", async () => {
    const server = await counter();
    const { pool, factory } = poolOf(server.url);
    const gate = Promise.withResolvers<void>();
    factory.beforeConnect = () => gate.promise;
    const abort = new AbortController();
    const first = pool.acquire(downstreamKey(), { signal: abort.signal }).catch(() => "aborted");
    const second = pool.acquire(downstreamKey());
    abort.abort();
    expect(await first).toBe("aborted");
    gate.resolve();
    (await second).release();
    await pool.close();
    expect(server.stats()).toMatchObject({ sessionsOpened: 1, sessionsClosed: 1 });
  });

  it("SP-9 five refused connections open the breaker; after the reset exactly one is tried", async () => {
    const port = await reservePort();
    onTestFinished(() => port.release());
    const { pool, factory } = poolOf(`http://127.0.0.1:${port.port}/mcp`, { breakerResetMs: 300 });
    let connects = 0;
    factory.beforeConnect = async () => void connects++;
    const attempt = (who: string) => pool.acquire(identityKey(who)).catch((error) => error);
    for (let i = 0; i < 5; i++) {
      expect(await attempt("ann")).toMatchObject({
        details: { kind: "transport", networkCode: "ECONNREFUSED" },
      });
    }
    const begin = performance.now();
    expect(await attempt("bob")).toMatchObject({ details: { breaker: "open" } });
    expect(performance.now() - begin).toBeLessThan(2_500);
    expect(connects).toBe(5);
    await eventually(async () => {
      await Promise.all(["a", "b", "c"].map(attempt));
      return connects > 5;
    });
    expect(connects).toBe(6);
  });

  it("SP-10 after 600 s without use the reaper closes the session and the upstream gets a DELETE", async () => {
    const server = await counter();
    const { clock, time } = createPoolClock();
    const factory = new McpFactory(() => server.url);
    const pool = createSessionPool({ maxAgeMs: 3_600_000 }, { factory, clock });
    await pool.run(identityKey(), add(1));
    await time.advance(599_000);
    expect(server.stats().requests["DELETE"]).toBeUndefined();
    await time.advance(6000);
    await eventually(() => server.stats().requests["DELETE"] === 1);
    await eventually(() => pool.stats().sessions === 0);
    expect(server.stats()).toMatchObject({ sessionsOpened: 1, sessionsClosed: 1 });
    expect(pool.usage()).toMatchObject([{ activeSessions: 0, pooledSessions: 0, totalUses: 1 }]);
  });

  it("SP-11 200 concurrent callers never have more than ten sessions under a total cap of ten", async () => {
    const server = await counter();
    let most = 0;
    const { pool } = poolOf(server.url, { maxTotal: 10, maxPerKey: 20, maxConcurrencyPerSession: 1 });
    await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        pool.run(sessionlessKey(`c${i % 2}`), async (session) => {
          const { sessionsOpened, sessionsClosed } = server.stats();
          most = Math.max(most, sessionsOpened - sessionsClosed);
          await read(session);
        }),
      ),
    );
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(10);
  });

  it("SP-11 the state of a living downstream session is still there after ten minutes", async () => {
    const server = await counter();
    const { clock, time } = createPoolClock();
    const pool = createSessionPool({}, { factory: new McpFactory(() => server.url), clock });
    const key = downstreamKey();
    await pool.run(key, add(5));
    await time.advance(600_000);
    expect(await pool.run(key, read)).toMatchObject({ value: 5 });
    expect(server.stats().sessionsOpened).toBe(1);
    await pool.close();
  });

  it("SP-14 wedged closes are given up within twice the grace", async () => {
    const server = await counter((request) => (request.method === "DELETE" ? silence() : undefined));
    const abandoned: unknown[] = [];
    const { pool } = poolOf(
      server.url,
      { closeTimeoutMs: 200 },
      { closeAbandoned: (event) => abandoned.push(event.why) },
    );
    for (let i = 0; i < 5; i++) await pool.run(downstreamKey(`d${i}`), read);
    const begin = performance.now();
    expect(await pool.close({ deadlineMs: 200 })).toEqual({ closed: 5, forced: 0 });
    expect(performance.now() - begin).toBeLessThan(2000);
    expect(abandoned).toEqual(Array(5).fill("timeout"));
  });

  it("SP-14 no token, cookie, e-mail or query secret is in keys, stats, usage, events or error texts", async () => {
    const server = await counter((request) =>
      request.headers.get("authorization") === "Bearer planted-token"
        ? undefined
        : new Response(null, { status: 401 }),
    );
    const told: unknown[] = [];
    const tell = (event: unknown) => told.push(event);
    const observer = {
      sessionOpened: tell,
      sessionClosed: tell,
      connectFailed: tell,
      acquireFailed: tell,
      probeFailed: tell,
    };
    const { pool, factory } = poolOf(server.url, {}, observer);
    const bad = poolOf("http://planted-user:planted-password@127.0.0.1:1/?key=planted-query", {}, observer);
    factory.tokens = ["planted-token"];
    const caller = {
      principal: "planted@example.com",
      headers: { authorization: "Bearer planted-token", cookie: "planted-cookie" },
      downstreamSessionId: "planted-session",
    };
    const all: SessionKey[] = [
      keys.downstream({ id: "s1" }, caller),
      keys.identity(stateless(), caller),
      keys.exclusive({ id: "s1" }, caller, { credential: "planted-token", tls: "planted-tls" }),
      keys.sessionless(stateless(), caller, { credential: "planted-token" }),
    ];
    for (const key of all) {
      expect(await pool.run(key, read)).toMatchObject({ value: 0 });
      const error = await bad.pool.acquire(key).catch((e) => e);
      tell({ message: error.message, details: error.details });
    }
    tell([all, pool.stats(), pool.usage(), bad.pool.stats(), bad.pool.usage()]);
    expect(told.length).toBeGreaterThan(8);
    expect(JSON.stringify(told)).not.toContain("planted");
  });

  it("keeps at least 99 % of 10 000 calls of 100 clients from opening a session", async () => {
    const { clock } = createPoolClock();
    const factory = new McpFactory(() => "http://unused");
    const connect = async () => ({ url: "", id: randomUUID(), token: "" });
    const pool = createSessionPool({}, { factory: { ...factory, connect, close: async () => {} }, clock });
    const clients = Array.from({ length: 100 }, (_, i) => downstreamKey(`client-${i}`));
    for (let call = 0; call < 100; call++) {
      await Promise.all(clients.map((key) => pool.run(key, async () => {})));
    }
    expect(pool.stats().hitRate).toBeGreaterThanOrEqual(0.99);
  });
});
