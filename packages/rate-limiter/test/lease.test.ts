import { createRateLimiter, RateLimiterError, type RateLimiterOptions } from "@gatewright/rate-limiter";
import { createRedisStore } from "@gatewright/rate-limiter/redis";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { writeRecord } from "./support/control-record.ts";
import { startSlowLink } from "./support/slow-link.ts";

let redis: RedisServer;
let client: Redis;
beforeAll(async () => {
  redis = await startRedis();
  client = redis.client({ enableOfflineQueue: false });
  await eventually(() => client.status === "ready");
});
afterAll(() => redis.close());

function replica(options: RateLimiterOptions = {}, prefix = "gw") {
  const store = createRedisStore({ client, prefix });
  const limiter = createRateLimiter(
    { rules: { by_user: "1000/h" }, lease: { size: 50, ttlMs: 60_000 }, timeoutMs: 10_000, ...options },
    { store },
  );
  return { limiter, calls: () => store.stats()["calls"] as number };
}

const ann = { user: "ann", tenant: "t", tool: "x" };

describe("leased tokens", () => {
  beforeEach(() => client.flushall());

  it("cut the calls per check below 0.1 and admit exactly the limit on one replica, to its last token", async () => {
    const { limiter, calls } = replica();
    let admitted = 0;
    for (let i = 0; i < 900; i++) if ((await limiter.check(ann)).allowed) admitted++;
    expect(admitted).toBe(900);
    expect(calls()).toBeLessThan(90);
    for (let i = 0; i < 300; i++) if ((await limiter.check(ann)).allowed) admitted++;
    expect(admitted).toBe(1_000);
    expect(limiter.stats().leases?.spent).toBeGreaterThan(800);
  });

  it.each(["fixed_window", "sliding_window"] as const)(
    "%s: three replicas never over-admit, and under-admit by no more than replicas times size",
    async (algorithm) => {
      const replicas = [1, 2, 3].map(() =>
        replica({ algorithm, rules: { by_user: "600/h", by_tenant: "900/h" } }),
      );
      let admitted = 0;
      for (let round = 0; round < 30; round++) {
        const checks = replicas.flatMap(({ limiter }) =>
          Array.from({ length: 10 }, async () => limiter.check(ann)),
        );
        admitted += (await Promise.all(checks)).filter((decision) => decision.allowed).length;
      }
      expect(admitted).toBeLessThanOrEqual(600);
      expect(admitted).toBeGreaterThanOrEqual(600 - 3 * 50);
    },
  );

  it("a crowd on a cold counter makes one reservation", async () => {
    const { limiter, calls } = replica();
    const decisions = await Promise.all(Array.from({ length: 40 }, async () => limiter.check(ann)));
    expect(decisions.every((decision) => decision.allowed)).toBe(true);
    expect(calls()).toBe(1);
  });

  it("a check spends locally only when all its rules hold leases", async () => {
    const { limiter, calls } = replica({ rules: { by_user: "1000/h", by_tool: { x: "1000/h" } } });
    await limiter.check(ann);
    expect(calls()).toBe(1);
    await limiter.check({ ...ann, user: "bob" });
    expect(calls()).toBe(2);
    expect(await limiter.check({ ...ann, user: "bob" })).toMatchObject({ allowed: true, leased: true });
    expect(calls()).toBe(2);
    const left = (await limiter.peek({ tool: "x", user: "ann", tenant: "t" })).verdicts.map(
      (v) => v.remaining,
    );
    expect(left).toEqual([949, 949]);
  });

  it("limits below 10 blocks, costs above a block, dedupe ids and peeks go to the store", async () => {
    const { limiter, calls } = replica({ rules: { by_user: "499/h" } });
    for (let i = 0; i < 5; i++) await limiter.check(ann);
    expect(calls()).toBe(5);
    const large = replica();
    await large.limiter.check(ann, { cost: 51 });
    await large.limiter.check(ann, { dedupeId: "d" });
    expect(await large.limiter.check(ann, { dedupeId: "d" })).not.toHaveProperty("leased");
    expect(large.calls()).toBe(3);
  });

  it("a wipe or a new revision that any answer tells of ends every lease granted before", async () => {
    const { limiter } = replica();
    await limiter.check(ann);
    expect((await limiter.check(ann)).leased).toBe(true);
    await writeRecord(client, { mode: "enforce", rev: 3, wipeSeq: 1 });
    await limiter.check({ ...ann, user: "bob" });
    const next = await limiter.check(ann);
    expect(next.leased).toBeUndefined();
    expect(next).toMatchObject({ rev: 3, verdicts: [{ remaining: 999 }] });
  });

  it.each([{ scope: "all" }, { scope: "tenant", tenant: "t" }, { scope: "key", subject: ann }] as const)(
    "a wipe by this process, $scope, ends what was reserved before it",
    async (target) => {
      const { limiter } = replica({ rules: { by_user: "500/h" } });
      const early = await limiter.check(ann);
      const local = await limiter.check(ann);
      const [overtaking] = await Promise.all([limiter.check(ann, { cost: 50 }), limiter.wipe(target)]);
      let admitted = 0;
      for (let i = 0; i < 700; i++) if ((await limiter.check(ann)).allowed) admitted++;
      expect(admitted).toBe(500);
      for (const decision of [early, local, overtaking]) await limiter.refund(decision);
      await limiter.close();
      expect((await limiter.check(ann)).allowed).toBe(false);
    },
  );

  it("what a lease paid for in a call that reserves for another rule goes back to the lease alone", async () => {
    const { limiter } = replica({ rules: { by_user: "1000/h", by_tool: { x: "1000/h" } } });
    const bob = { ...ann, user: "bob" };
    const left = async () => (await limiter.peek(bob)).verdicts.map((verdict) => verdict.remaining);
    await limiter.check(ann);
    await limiter.refund(await limiter.check(bob));
    expect(await left()).toEqual([950, 949]);
    await limiter.close();
    expect(await left()).toEqual([1_000, 999]);
  });

  it("what this process knows of the record counts too", async () => {
    const { limiter } = replica();
    const known = { knownMode: "enforce", wipeSeq: [0, 0] } as const;
    await limiter.check(ann, known);
    expect((await limiter.check(ann, known)).leased).toBe(true);
    expect((await limiter.check(ann, { ...known, wipeSeq: [1, 0] })).leased).toBeUndefined();
    expect((await limiter.check(ann, { ...known, knownMode: "permissive" })).leased).toBeUndefined();
  });

  it("under a disabled record nothing is charged or leased, and within a second a lease learns of it", async () => {
    const { limiter } = replica();
    await limiter.check(ann);
    await writeRecord(client, { mode: "disabled", rev: 2 });
    await eventually(async () => (await limiter.check(ann)).mode === "disabled", { timeoutMs: 5_000 });
    expect(await limiter.check(ann)).toMatchObject({ allowed: true, verdicts: [], rev: 2 });
  });

  it("close waits for what is being reserved, and gives that back too", async () => {
    const { limiter } = replica();
    const crowd = Array.from({ length: 5 }, () => limiter.check(ann));
    await limiter.close();
    expect((await limiter.peek(ann)).verdicts[0]?.remaining).toBeGreaterThanOrEqual(995);
    for (const { allowed } of await Promise.all(crowd)) expect(allowed).toBe(true);
    expect((await limiter.peek(ann)).verdicts[0]?.remaining).toBe(995);
    expect((await limiter.check(ann)).leased).toBeUndefined();
  });

  it("a refund goes back to the lease, and to the store when the lease has ended", async () => {
    const { limiter } = replica();
    await limiter.check(ann);
    const local = await limiter.check(ann);
    expect(local.verdicts[0]?.remaining).toBe(998);
    await limiter.refund(local);
    const again = await limiter.check(ann);
    expect(again.verdicts[0]?.remaining).toBe(998);
    await limiter.close();
    await limiter.refund(again);
    expect((await limiter.peek(ann)).verdicts[0]?.remaining).toBe(999);
  });

  it("permissive near the limit charges the cost alone, and shadows what is over it", async () => {
    const { limiter } = replica({ rules: { by_user: "500/h" } });
    await limiter.check(ann, { cost: 30, mode: "permissive" });
    await limiter.close();
    const { limiter: other } = replica({ rules: { by_user: "500/h" } });
    let shadows = 0;
    for (let i = 0; i < 500; i++) if ((await other.check(ann, { mode: "permissive" })).shadow) shadows++;
    expect(shadows).toBe(30);
  });

  it("on a dead Redis the failure policy decides for all who wait", async () => {
    const own = await startRedis();
    const dead = own.client({ enableOfflineQueue: false });
    await eventually(() => dead.status === "ready");
    const limiter = createRateLimiter(
      { rules: { by_user: "1000/h" }, lease: { size: 50 }, timeoutMs: 250, failurePolicy: "closed" },
      { store: createRedisStore({ client: dead }) },
    );
    own.pause();
    const abort = new AbortController();
    const gone = limiter.check(ann, { signal: abort.signal });
    const waiting = limiter.check(ann, { signal: abort.signal });
    const others = [limiter.check(ann), limiter.check(ann)];
    abort.abort(new Error("left"));
    await expect(gone).rejects.toThrow("left");
    await expect(waiting).rejects.toThrow("left");
    expect((await Promise.all(others)).map((decision) => decision.degraded)).toEqual(["closed", "closed"]);
    await own.close();
  });

  it("are refused at load for algorithms whose bound they would break", () => {
    expect(() => createRateLimiter({ algorithm: "gcra", lease: { size: 5 } })).toThrow(RateLimiterError);
    expect(() => createRateLimiter({ algorithm: "sliding_log", lease: { size: 5 } })).toThrow("lease");
  });
});

// They wait, each for its own counters: side by side.
describe.concurrent("leased tokens, in time", () => {
  it.each(["fixed_window", "sliding_window"] as const)(
    "%s: a lease ends with its window",
    async (algorithm) => {
      const { limiter } = replica({ algorithm, rules: { by_user: "1000/2s" } }, algorithm);
      await limiter.check(ann);
      expect((await limiter.check(ann)).leased).toBe(true);
      const spent = limiter.stats().leases?.held;
      expect(spent).toBe(1);
      const before = Date.now();
      await eventually(
        async () => {
          const { verdicts } = await limiter.check(ann);
          const inNewWindow = Date.now() - before >= 2_000;
          return inNewWindow && (verdicts[0]?.remaining ?? 0) >= (algorithm === "fixed_window" ? 950 : 1);
        },
        { timeoutMs: 8_000, intervalMs: 50 },
      );
      expect(limiter.stats().leases?.reserved).toBeGreaterThanOrEqual(2);
    },
  );

  it("ends after its ttl and gives back what is unspent; close gives back the rest", async () => {
    const { limiter } = replica({ lease: { size: 50, ttlMs: 1_000 } }, "ttl");
    const left = async () => (await limiter.peek(ann)).verdicts[0]?.remaining;
    await limiter.check(ann);
    expect(await left()).toBe(949);
    await eventually(async () => (await limiter.check(ann)).leased === undefined, { timeoutMs: 5_000 });
    const admitted = limiter.stats().allowed;
    await limiter.close();
    await eventually(async () => (await left()) === 1_000 - admitted, { timeoutMs: 5_000 });
  });

  /** A limiter whose Redis has answered at once so far, and takes `delayMs` for each answer from now on. */
  async function slowed(delayMs: number, timeoutMs: number) {
    const link = await startSlowLink(redis.port);
    const slow = redis.client({ enableOfflineQueue: false, host: "127.0.0.1", port: link.port });
    await eventually(() => slow.status === "ready");
    const limiter = createRateLimiter(
      { rules: { by_user: "100000/h" }, lease: { size: 10 }, timeoutMs, failurePolicy: "closed" },
      { store: createRedisStore({ client: slow, prefix: `slow${delayMs}` }) },
    );
    await eventually(async () => (await limiter.check({ ...ann, user: "bob" })).degraded === undefined);
    link.delayMs = delayMs;
    return {
      crowd(user: string, count: number) {
        const startedAt = performance.now();
        const checks = Array.from({ length: count }, async () => {
          const { degraded } = await limiter.check({ ...ann, user });
          return { degraded, afterMs: performance.now() - startedAt };
        });
        return Promise.all(checks);
      },
      async [Symbol.asyncDispose]() {
        slow.disconnect();
        await link[Symbol.asyncDispose]();
      },
    };
  }

  it("RL-6 a check that waits for the blocks of others is decided within timeoutMs, all waits together", async () => {
    await using limiter = await slowed(600, 1_100);
    const told = await limiter.crowd("ann", 300);
    expect(Math.max(...told.map(({ afterMs }) => afterMs))).toBeLessThan(5 * 1_100);
    // The first block comes in time. For those it is too small for, an answer of their own would come too late: to wait
    // for it, and for the blocks of others before it, would be to be served in the end.
    const served = told.filter(({ degraded }) => degraded === undefined).length;
    expect(served).toBeGreaterThan(0);
    expect(served).toBeLessThan(300);
  });

  it("a check does not wait for others until there is no time left for a call of its own", async () => {
    await using limiter = await slowed(900, 4_300);
    const told = await limiter.crowd("ann", 60);
    expect(told.filter(({ degraded }) => degraded !== undefined)).toEqual([]);
  });

  it("nobody waits for others where the last answer took more than half of the time", async () => {
    await using limiter = await slowed(1_600, 3_000);
    await limiter.crowd("ann", 1);
    const told = await limiter.crowd("eve", 60);
    expect(told.filter(({ degraded }) => degraded !== undefined)).toEqual([]);
  });
});
