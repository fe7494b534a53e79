import { createRateLimiter, type RateLimiterDeps, type RateLimiterOptions } from "@gatewright/rate-limiter";
import { toHeaders } from "@gatewright/rate-limiter/http";
import { createRedisStore } from "@gatewright/rate-limiter/redis";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { toOutcome } from "../src/plugin/outcome.ts";
import { writeRecord } from "./support/control-record.ts";

let redis: RedisServer | undefined;
afterEach(async () => {
  await redis?.close();
  redis = undefined;
});

async function setUp(options: RateLimiterOptions, deps: RateLimiterDeps = {}) {
  redis = await startRedis();
  const client = redis.client({ enableOfflineQueue: false });
  await eventually(() => client.status === "ready");
  const states: string[] = [];
  const errors: unknown[] = [];
  const limiter = createRateLimiter(
    { rules: { by_user: "4/m" }, timeoutMs: 5_000, ...options },
    {
      store: createRedisStore({ client }),
      observer: { onBreaker: (state) => states.push(state), onStoreError: (error) => errors.push(error) },
      ...deps,
    },
  );
  return { redis, client, limiter, states, errors };
}

const ann = { user: "ann" };

describe("a Redis that does not answer", () => {
  it("RL-6 stopped, policy open: allowed and counted as degraded; recovers by itself with its counters", async () => {
    const { redis, limiter, states } = await setUp({ breaker: { failures: 2, openMs: 50 } });
    await limiter.check(ann);
    await redis.stop();
    for (let i = 0; i < 10; i++) {
      expect(await limiter.check(ann)).toMatchObject({ allowed: true, degraded: "open", verdicts: [] });
    }
    expect(limiter.stats()).toMatchObject({ degraded: 10 });
    expect(states[0]).toBe("open");
    await redis.restart();
    await eventually(async () => (await limiter.check(ann)).degraded === undefined, { timeoutMs: 5_000 });
    expect(limiter.stats().breaker).toBe("closed");
    expect(states.slice(-2)).toEqual(["half_open", "closed"]);
  });

  it("RL-6 stopped, policy closed: refused with 503, backend_unavailable and Retry-After 1", async () => {
    const { redis, limiter } = await setUp({ failurePolicy: "closed" });
    await limiter.check(ann);
    await redis.kill();
    const refused = await limiter.check(ann);
    expect(refused).toMatchObject({ allowed: false, code: "backend_unavailable", degraded: "closed" });
    expect(toHeaders(refused)).toEqual({ "Retry-After": "1" });
    expect(toOutcome(refused, true)).toMatchObject({
      block: {
        code: "backend_unavailable",
        httpStatus: 503,
        mcpErrorCode: -31002,
        headers: { "Retry-After": "1" },
      },
    });
    expect(toOutcome(refused, true)).not.toHaveProperty("authority");
    expect(toOutcome(await createRateLimiter().check(ann), true)).toBeUndefined();
  });

  it("RL-6 stopped, policy local: each limit is divided by the live replicas", async () => {
    let replicas = 2;
    const { redis, limiter } = await setUp({ failurePolicy: "local" }, { replicas: () => replicas });
    await limiter.check(ann);
    await redis.stop();
    const allowed = async () => {
      const decision = await limiter.check(ann);
      expect(decision.degraded).toBe("local");
      return decision.allowed;
    };
    expect([await allowed(), await allowed(), await allowed()]).toEqual([true, true, false]);
    replicas = 1;
    expect([await allowed(), await allowed(), await allowed()]).toEqual([true, true, false]);
    replicas = 100;
    expect(await limiter.check({ user: "bob" })).toMatchObject({ allowed: true, verdicts: [{ limit: 1 }] });
    expect((await limiter.check({ user: "bob" })).allowed).toBe(false);
  });

  it("policy local: a cost above this replica's share waits a window for Redis, one above the limit never passes", async () => {
    const rules = { by_user: "10/m" };
    const { redis, limiter } = await setUp({ failurePolicy: "local", rules }, { replicas: () => 4 });
    await redis.stop();
    expect(await limiter.check(ann, { cost: 5 })).toMatchObject({
      allowed: false,
      code: "rate_limited",
      retryAfterMs: 60_000,
      degraded: "local",
    });
    const never = { allowed: false, code: "cost_exceeds_limit", retryAfterMs: null };
    expect(await limiter.check(ann, { cost: 11 })).toMatchObject(never);
    expect(await limiter.check(ann, { cost: 5, mode: "permissive" })).toMatchObject({
      allowed: true,
      shadow: true,
      code: "rate_limited",
    });
    expect(await limiter.check(ann, { cost: 2 })).toMatchObject({ allowed: true, degraded: "local" });
  });

  it.each([
    { scope: "all" },
    { scope: "tenant", tenant: "t" },
    { scope: "key", subject: { ...ann, tenant: "t" } },
  ] as const)(
    "policy local: a wipe, $scope, empties what was counted here, Redis or no Redis",
    async (target) => {
      const { redis, limiter } = await setUp({ failurePolicy: "local", rules: { by_user: "2/m" } });
      await redis.stop();
      const left = async (user: string) =>
        (await limiter.check({ user, tenant: "t" }, { cost: 2 })).verdicts.map(({ allowed }) => allowed);
      expect([await left("ann"), await left("bob"), await left("ann")]).toEqual([[true], [true], [false]]);
      await expect(limiter.wipe(target)).rejects.toThrow();
      expect(await left("ann")).toEqual([true]);
      expect(await left("bob")).toEqual([target.scope !== "key"]);
      limiter.wiped(target);
      expect(await left("ann")).toEqual([true]);
    },
  );

  it.each(["open", "closed", "local"] as const)(
    "policy %s never refuses under a last known mode of disabled or permissive",
    async (failurePolicy) => {
      const { redis, limiter } = await setUp({ failurePolicy, rules: { by_user: "1/m" } });
      await redis.stop();
      for (let i = 0; i < 3; i++) {
        expect((await limiter.check(ann, { knownMode: "disabled" })).allowed).toBe(true);
        expect((await limiter.check(ann, { knownMode: "permissive" })).allowed).toBe(true);
      }
    },
  );

  it("RL-6 a server that became a replica refuses to write: the policy decides until it is a master again", async () => {
    const { redis, client, limiter, errors } = await setUp({
      failurePolicy: "closed",
      breaker: { failures: 2, openMs: 50 },
    });
    await limiter.check(ann);
    await client.replicaof("127.0.0.1", redis.port);
    const refused = await limiter.check(ann);
    expect(refused).toMatchObject({ allowed: false, code: "backend_unavailable", degraded: "closed" });
    expect(String(errors[0])).toContain("READONLY");
    for (let i = 0; i < 5; i++) expect((await limiter.check(ann)).degraded).toBe("closed");
    expect(limiter.stats().breaker).not.toBe("closed");
    await client.replicaof("NO", "ONE");
    const served = await eventually(async () => {
      const decision = await limiter.check(ann);
      return decision.degraded === undefined && decision;
    });
    expect(served.verdicts[0]?.remaining).toBe(2);
  });

  it("RL-6 hung: decided within timeoutMs, at once when the breaker is open, and by Redis again when it wakes", async () => {
    const { redis, limiter } = await setUp({ timeoutMs: 250, breaker: { failures: 1, openMs: 2_000 } });
    await limiter.check(ann);
    redis.pause();
    const started = performance.now();
    const first = await limiter.check(ann);
    expect(first.degraded).toBe("open");
    expect(performance.now() - started).toBeLessThan(5 * 250);
    const second = limiter.check(ann);
    expect(second).not.toBeInstanceOf(Promise);
    redis.resume();
    await eventually(async () => (await limiter.check(ann)).degraded === undefined, { timeoutMs: 5_000 });
  });

  it("RL-6 full, with noeviction: the policy decides, a disabled limiter still allows, and it recovers by itself", async () => {
    const { client, limiter, errors } = await setUp({
      failurePolicy: "closed",
      breaker: { failures: 2, openMs: 50 },
    });
    await limiter.check(ann);
    // The override of all has ended and could only be replaced by a write; that of the tenant stands.
    await writeRecord(client, { mode: "permissive", rev: 1, expiresAt: 1 });
    await writeRecord(client, { mode: "disabled", rev: 4, tenant: "off" });
    await client.config("SET", "maxmemory", "1");
    const off = { ...ann, tenant: "off" };
    expect(await limiter.check(off)).toMatchObject({ allowed: true, mode: "disabled", rev: 2, tenantRev: 4 });
    expect((await limiter.check(off)).degraded).toBeUndefined();
    expect(errors).toEqual([]);
    expect(await limiter.check(ann)).toMatchObject({
      allowed: false,
      code: "backend_unavailable",
      degraded: "closed",
    });
    expect(String(errors[0])).toContain("OOM");
    await limiter.check(ann);
    expect(limiter.stats().breaker).toBe("open");
    await client.config("SET", "maxmemory", "0");
    const served = await eventually(async () => {
      const decision = await limiter.check(ann);
      return decision.degraded === undefined && decision;
    });
    expect(served).toMatchObject({ mode: "enforce", rev: 2, verdicts: [{ remaining: 2 }] });
  });

  it("RL-6 slow: an answer after the deadline changes no decision and closes no breaker, what it charged stays", async () => {
    const breaker = { failures: 2, openMs: 60_000 };
    const { redis, client, limiter, states } = await setUp({ timeoutMs: 500, breaker });
    await limiter.check(ann);
    for (let late = 0; late < 2; late++) {
      redis.pause();
      const decision = await limiter.check(ann);
      expect(decision).toMatchObject({ allowed: true, degraded: "open", verdicts: [] });
      redis.resume();
      // Answered after all: commands of one connection are answered in their order.
      await client.ping();
      expect(decision).toMatchObject({ degraded: "open", verdicts: [] });
    }
    expect(states).toEqual(["open"]);
    const other = createRateLimiter({ rules: { by_user: "4/m" } }, { store: createRedisStore({ client }) });
    expect((await other.peek(ann)).verdicts[0]?.remaining).toBe(1);
  });

  it("many calls in flight are all decided by their deadline, a later one by its own", async () => {
    const { redis, limiter } = await setUp({ breaker: { failures: 1_000, openMs: 300 }, timeoutMs: 200 });
    await limiter.check(ann);
    redis.pause();
    const started = performance.now();
    const early = Array.from({ length: 100 }, async () => limiter.check(ann));
    await Promise.race([Promise.all(early), new Promise((resolve) => setTimeout(resolve, 100))]);
    const late = limiter.check(ann);
    const decisions = await Promise.all([...early, late]);
    expect(decisions.every((decision) => decision.degraded === "open")).toBe(true);
    expect(performance.now() - started).toBeGreaterThanOrEqual(290);
    expect(performance.now() - started).toBeLessThan(5 * 300);
    redis.resume();
  });

  it("an aborted signal ends the wait with its reason", async () => {
    const { redis, limiter } = await setUp({ timeoutMs: 60_000 });
    await limiter.check(ann);
    redis.pause();
    const abort = new AbortController();
    const waiting = limiter.check(ann, { signal: abort.signal });
    abort.abort(new Error("client left"));
    await expect(waiting).rejects.toThrow("client left");
    await expect(limiter.check(ann, { signal: abort.signal })).rejects.toThrow("client left");
    redis.resume();
  });

  it("a probe that fails keeps the breaker open", async () => {
    const { redis, limiter, states } = await setUp({ breaker: { failures: 1, openMs: 20 }, timeoutMs: 30 });
    await redis.stop();
    await eventually(async () => {
      await limiter.check(ann);
      return states.filter((state) => state === "half_open").length >= 2;
    });
    expect(states).not.toContain("closed");
  });
});
