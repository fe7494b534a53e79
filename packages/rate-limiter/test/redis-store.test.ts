import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { createRateLimiter, type RateLimiterOptions } from "@gatewright/rate-limiter";
import { createRedisStore } from "@gatewright/rate-limiter/redis";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { RECEIPT } from "../src/decision.ts";
import { laneOf } from "../src/redis/lane.ts";
import { RedisStore } from "../src/redis/redis-store.ts";
import { writeRecord } from "./support/control-record.ts";

const run = promisify(execFile);
/** What the names of keys say of an algorithm, and of burst and limit where the state is good for these alone. */
const MARKS = [
  ["fixed_window", () => "f"],
  ["sliding_window", () => "s"],
  ["sliding_log", () => "l"],
  ["token_bucket", (limit: number) => `b~${limit}-${limit}`],
  ["gcra", (limit: number) => `g~${limit}-${limit}`],
] as const;
const replica = join(import.meta.dirname, "support/limiter-process.ts");

let redis: RedisServer;
let client: Redis;

beforeAll(async () => {
  redis = await startRedis();
  client = redis.client();
});
beforeEach(() => client.flushall());
afterAll(() => redis.close());

function limiterOf(options: RateLimiterOptions) {
  return createRateLimiter({ timeoutMs: 10_000, ...options }, { store: createRedisStore({ client }) });
}

describe("Redis store", () => {
  it("RL-5 three processes sharing Redis admit exactly 30 of 60 calls at 30/m", async () => {
    const flags = ["--conditions=@gatewright/source", replica, String(redis.port), "20"];
    const runs = await Promise.all([1, 2, 3].map(() => run(process.execPath, flags)));
    const admitted = runs.map(({ stdout }) => Number(stdout));
    expect(admitted.reduce((sum, count) => sum + count, 0)).toBe(30);
  });

  it("RL-6 SCRIPT FLUSH in mid-traffic fails no call", async () => {
    const errors: unknown[] = [];
    const limiter = createRateLimiter(
      { rules: { by_user: "1000000/h" }, timeoutMs: 10_000 },
      { store: createRedisStore({ client }), observer: { onStoreError: (error) => errors.push(error) } },
    );
    for (let round = 0; round < 20; round++) {
      const checks = Array.from({ length: 50 }, async () => limiter.check({ user: "ann" }));
      await client.script("FLUSH");
      const decisions = await Promise.all(checks);
      expect(decisions.every((decision) => decision.allowed && decision.degraded === undefined)).toBe(true);
    }
    expect(errors).toEqual([]);
    expect((await limiter.peek({ user: "ann" })).verdicts[0]?.remaining).toBe(999_000);
  });

  it("a check is one command, whatever the number of rules", async () => {
    const limiter = limiterOf({
      rules: {
        by_user: "9/m",
        by_tenant: "9/m",
        by_ip: "9/m",
        by_tool: { x: "9/m" },
        by_server: { s: "9/m" },
      },
    });
    const subject = { user: "ann", tenant: "t", ip: "1", tool: "x", server: "s" };
    await limiter.check(subject);
    const calls = async () => {
      const info = await client.info("commandstats");
      const of = (name: string) => Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(info)?.[1] ?? 0);
      return of("evalsha") + of("eval");
    };
    const before = await calls();
    for (let i = 0; i < 5; i++) expect((await limiter.check(subject)).verdicts).toHaveLength(5);
    expect((await calls()) - before).toBe(5);
  });

  it.each(MARKS)(
    "%s: every key it writes has a lifetime, and is named as promised",
    async (algorithm, mark) => {
      const limiter = limiterOf({
        algorithm,
        rules: { by_user: "9/m", by_tenant: "9/m", by_tool: { x: "9/m" } },
      });
      const decision = await limiter.check(
        { user: "a:b{c}", tenant: "t", tool: "x" },
        { dedupeId: "d", cost: 2 },
      );
      await limiter.check({ user: "u".repeat(65), tenant: "_" });
      await limiter.check({ user: "ann" });
      await limiter.refund(decision);
      const keys = await client.keys("*");
      for (const key of keys) expect(await client.pttl(key)).toBeGreaterThan(0);
      const lane = laneOf("t");
      expect(keys.filter((key) => key.startsWith(`gw:{l${lane}}:rl:t:`)).sort()).toEqual([
        `gw:{l${lane}}:rl:t:by_tenant@60${mark(9)}:t`,
        `gw:{l${lane}}:rl:t:by_tool@60${mark(9)}:x`,
        `gw:{l${lane}}:rl:t:by_user@60${mark(9)}:a%3Ab%7Bc%7D`,
      ]);
      expect(keys).toContain(`gw:{l_}:rl:_:by_user@60${mark(9)}:ann`);
      expect(keys.filter((key) => key.includes(`:rl:%5F:by_user@60${mark(9)}:%23`))).toHaveLength(1);
    },
  );

  it.each(MARKS)(
    "%s: after every write a key lives at least until its whole limit is free again, and not without end",
    async (algorithm, mark) => {
      const rules = { by_user: "200/2s" };
      for (const mostBaked of [0, 256]) {
        const store = new RedisStore({ client, prefix: `p${mostBaked}` }, { source: "redis" }, mostBaked);
        const limiter = createRateLimiter({ algorithm, rules, timeoutMs: 10_000 }, { store });
        for (let i = 0; i < 60; i++) {
          const before = performance.now();
          const { verdicts } = await limiter.check({ user: "ann" });
          const lives = await client.pttl(`p${mostBaked}:{l_}:rl:_:by_user@2${mark(200)}:ann`);
          const resetMs = verdicts[0]?.resetMs ?? 0;
          expect(lives).toBeLessThanOrEqual(6_000);
          expect(lives + Math.ceil(performance.now() - before) + 2).toBeGreaterThanOrEqual(resetMs);
        }
      }
    },
  );

  it.each(["token_bucket", "gcra"] as const)(
    "%s: a key lives long enough for a long burst, also when a limit with a short one is in use beside it",
    async (algorithm) => {
      const short = limiterOf({ algorithm, rules: { by_user: "1000/m" } });
      const long = limiterOf({ algorithm, rules: { by_user: { rate: "10/m", burst: 100 } } });
      await short.check({ user: "ann" });
      const { verdicts } = await long.check({ user: "ann" }, { cost: 100 });
      const resetMs = verdicts[0]?.resetMs ?? 0;
      expect(resetMs).toBeGreaterThan(590_000);
      const key = `gw:{l_}:rl:_:by_user@60${algorithm === "gcra" ? "g" : "b"}~100-10:ann`;
      expect(await client.pttl(key)).toBeGreaterThan(resetMs - 1_000);
    },
  );

  it.each(MARKS)("%s: a refund leaves alone a state that is not of its rule", async (algorithm, mark) => {
    const limiter = limiterOf({ algorithm, rules: { by_user: "10/m" } });
    const decision = await limiter.check({ user: "ann" });
    const key = `gw:{l_}:rl:_:by_user@60${mark(10)}:ann`;
    // Another tag, and a time at which everything that was taken is still owed.
    const foreign = Buffer.alloc(28);
    foreign.writeUInt32LE(7, 8);
    foreign.writeDoubleLE(Date.now() + 30_000, 12);
    await client.set(key, foreign, "PX", 60_000);
    await limiter.refund(decision);
    expect(await client.getBuffer(key)).toEqual(foreign);
  });

  it.each([1, 16, 17, 40])(
    "%i rules are charged and refused in one call, with and without a tenant",
    async (count) => {
      const composite = Object.fromEntries(
        Array.from({ length: count }, (_, i) => [`rule${i}`, { by: ["user" as const], rate: `${i + 2}/m` }]),
      );
      for (const algorithm of ["sliding_window", "sliding_log", "gcra"] as const) {
        const limiter = limiterOf({ algorithm, rules: { composite } });
        for (const tenant of [undefined, "t"]) {
          const subject = { user: `ann ${algorithm}`, tenant };
          for (let i = 0; i < 2; i++) expect((await limiter.check(subject)).allowed).toBe(true);
          const refused = await limiter.check(subject);
          expect(refused.verdicts.map((verdict) => verdict.allowed)).toEqual(
            Array.from({ length: count }, (_, i) => i > 0),
          );
          expect((await limiter.peek(subject)).verdicts.map((verdict) => verdict.remaining)).toEqual(
            Array.from({ length: count }, (_, i) => i),
          );
        }
      }
    },
  );

  it("the mark of a dedupe id lives for 60 s, in the tenant's lane, and not for a refused call", async () => {
    const limiter = limiterOf({ rules: { by_user: "1/m" } });
    const subject = { user: "ann", tenant: "t" };
    await limiter.check(subject, { dedupeId: "a:1" });
    const mark = `gw:{l${laneOf("t")}}:once:t:a%3A1`;
    const lives = await client.pttl(mark);
    expect(lives).toBeGreaterThan(59_000);
    expect(lives).toBeLessThanOrEqual(60_000);
    expect((await limiter.check(subject, { dedupeId: "a:1" })).allowed).toBe(true);
    expect(await client.pttl(mark)).toBeLessThanOrEqual(lives);
    expect((await limiter.check(subject, { dedupeId: "b" })).allowed).toBe(false);
    expect(await client.keys("*:once:*")).toEqual([mark]);
    await client.del(mark);
    expect((await limiter.check(subject, { dedupeId: "a:1" })).allowed).toBe(false);
  });

  it("makes no more scripts than it may, and rules beyond them are decided all the same", async () => {
    const store = new RedisStore({ client }, { source: "redis" }, 2);
    await client.script("FLUSH");
    const scripts = async () =>
      Number(/number_of_cached_scripts:(\d+)/.exec(await client.info("memory"))?.[1]);
    for (let limit = 1; limit <= 6; limit++) {
      const limiter = createRateLimiter({ rules: { by_user: `${limit}/m` }, timeoutMs: 10_000 }, { store });
      const subject = { user: `ann${limit}` };
      for (let i = 0; i < limit; i++) expect((await limiter.check(subject)).allowed).toBe(true);
      expect((await limiter.check(subject)).allowed).toBe(false);
    }
    expect(await scripts()).toBe(3);
  });

  it("RL-1 on the clock of Redis: the 11th of 10/m is refused with a wait of 1 to 60 s, and real time brings tokens back", async () => {
    const limiter = limiterOf({ rules: { by_user: "10/m", by_ip: "1/s" } });
    for (let i = 0; i < 10; i++) await limiter.check({ user: "ann" });
    const refused = await limiter.check({ user: "ann" });
    expect(refused.allowed).toBe(false);
    expect(refused.retryAfterMs).toBeGreaterThan(50_000);
    expect(refused.retryAfterMs).toBeLessThanOrEqual(60_000);
    await limiter.check({ user: "bob", ip: "1" });
    expect((await limiter.check({ user: "bob", ip: "1" })).allowed).toBe(false);
    await eventually(async () => (await limiter.check({ user: "bob", ip: "1" })).allowed, {
      timeoutMs: 5_000,
    });
  });

  it("RL-9 counters survive a restart of the replica in enforce", async () => {
    const before = limiterOf({ rules: { by_user: "2/m" } });
    for (let i = 0; i < 2; i++) await before.check({ user: "ann" });
    const other = redis.client();
    const after = createRateLimiter(
      { rules: { by_user: "2/m" }, timeoutMs: 10_000 },
      { store: createRedisStore({ client: other }) },
    );
    expect((await after.check({ user: "ann" })).allowed).toBe(false);
    other.disconnect();
  });
});

describe("control record", () => {
  it("decides the call under the record's mode and returns it with rev, whatever the replica believes", async () => {
    const limiter = limiterOf({ rules: { by_user: "1/m" } });
    await writeRecord(client, { mode: "disabled", rev: 4 });
    for (let i = 0; i < 3; i++) {
      expect(await limiter.check({ user: "ann" })).toMatchObject({
        allowed: true,
        mode: "disabled",
        rev: 4,
        verdicts: [],
      });
    }
    await writeRecord(client, { mode: "permissive", rev: 5 });
    await limiter.check({ user: "ann" });
    expect(await limiter.check({ user: "ann" })).toMatchObject({
      allowed: true,
      shadow: true,
      mode: "permissive",
      rev: 5,
    });
    await writeRecord(client, { mode: "enforce", rev: 6 });
    expect(await limiter.check({ user: "ann" }, { mode: "disabled" })).toMatchObject({
      allowed: false,
      mode: "enforce",
      rev: 6,
    });
    await writeRecord(client, { mode: "inherit", rev: 7 });
    expect(await limiter.check({ user: "ann" }, { mode: "disabled" })).toMatchObject({
      mode: "disabled",
      rev: 7,
    });
    expect(await limiter.check({ user: "ann" })).toMatchObject({ allowed: false, mode: "enforce", rev: 7 });
  });

  it("a tenant's record beats the global one, in its lane alone", async () => {
    const limiter = limiterOf({ rules: { by_user: "1/m" } });
    await writeRecord(client, { mode: "disabled", rev: 3 });
    await writeRecord(client, { mode: "enforce", rev: 8, tenant: "a" });
    const a = { user: "ann", tenant: "a" };
    await limiter.check(a);
    expect(await limiter.check(a)).toMatchObject({ allowed: false, mode: "enforce", rev: 3, tenantRev: 8 });
    expect(await limiter.check({ user: "ann", tenant: "b" })).toMatchObject({
      mode: "disabled",
      rev: 3,
      tenantRev: 0,
    });
  });

  it("an expired record is replaced by its successor in the same call", async () => {
    const limiter = limiterOf({ rules: { by_user: "1/m" } });
    await writeRecord(client, { mode: "disabled", rev: 3, wipeSeq: 2, expiresAt: Date.now() - 1 });
    expect(await limiter.check({ user: "ann" })).toMatchObject({ allowed: true, mode: "enforce", rev: 4 });
    expect(await client.get("gw:{l_}:ctl:rate_limiter")).toBe("1|4|uuid-3~x|inherit|2|0|test");
    await writeRecord(client, { mode: "disabled", rev: 9, expiresAt: Date.now() + 60_000 });
    expect(await limiter.check({ user: "ann" })).toMatchObject({ mode: "disabled", rev: 9 });
  });

  it("a record that is no record is ignored", async () => {
    const limiter = limiterOf({ rules: { by_user: "1/m" } });
    await client.set("gw:{l_}:ctl:rate_limiter", "nonsense");
    expect(await limiter.check({ user: "ann" })).toMatchObject({ allowed: true, mode: "enforce", rev: 0 });
  });

  const MODES = ["enforce", "permissive", "disabled"] as const;
  const PAIRS = MODES.flatMap((from) => MODES.filter((to) => to !== from).map((to) => [from, to] as const));
  it.each(PAIRS.flatMap(([from, to]) => [[from, to, "hot"] as const, [from, to, "cold"] as const]))(
    "RL-8 %s to %s with %s counters takes effect on the next call and changes no counter",
    async (from, to, heat) => {
      const clock = { time: 1_700_000_000_000 };
      const store = new RedisStore({ client }, { source: "argument", now: () => clock.time });
      const limiter = createRateLimiter({ rules: { by_user: "2/m" }, timeoutMs: 10_000 }, { store });
      if (heat === "hot") for (let i = 0; i < 2; i++) await limiter.check({ user: "ann" });
      await writeRecord(client, { mode: from, rev: 1 });
      const seenBefore = await limiter.peek({ user: "ann" });
      await writeRecord(client, { mode: to, rev: 2 });
      const decision = await limiter.check({ user: "ann" });
      expect(seenBefore.mode).toBe(from);
      expect(decision).toMatchObject({ mode: to, rev: 2, allowed: to !== "enforce" || heat === "cold" });
      await writeRecord(client, { mode: "enforce", rev: 3 });
      const left = (await limiter.peek({ user: "ann" })).verdicts[0]?.remaining;
      expect(left).toBe(heat === "hot" ? 0 : to === "disabled" ? 2 : 1);
    },
  );

  it("RL-8 enforce, past the window, disabled, past the window, enforce: counts as if nothing had been", async () => {
    const clock = { time: 1_700_000_000_000 };
    const store = new RedisStore({ client }, { source: "argument", now: () => clock.time });
    const limiter = createRateLimiter({ rules: { by_user: "1/m" }, timeoutMs: 10_000 }, { store });
    const allowed = async () => (await limiter.check({ user: "ann" })).allowed;
    expect([await allowed(), await allowed()]).toEqual([true, false]);
    clock.time += 61_000;
    await writeRecord(client, { mode: "disabled", rev: 1, wipeSeq: 1 });
    expect([await allowed(), await allowed()]).toEqual([true, true]);
    clock.time += 61_000;
    await writeRecord(client, { mode: "enforce", rev: 2, wipeSeq: 1 });
    expect([await allowed(), await allowed()]).toEqual([true, false]);
  });

  it("RL-9 with wipe never, re-enabling refuses at once with the right wait; with a wipe all start afresh", async () => {
    const clock = { time: 1_700_000_000_000 };
    const store = new RedisStore({ client }, { source: "argument", now: () => clock.time });
    const limiter = createRateLimiter({ rules: { by_user: "1/m" }, timeoutMs: 10_000 }, { store });
    await limiter.check({ user: "ann" });
    await writeRecord(client, { mode: "disabled", rev: 1 });
    clock.time += 20_000;
    await writeRecord(client, { mode: "enforce", rev: 2 });
    expect(await limiter.check({ user: "ann" })).toMatchObject({ allowed: false, retryAfterMs: 40_000 });
    await writeRecord(client, { mode: "enforce", rev: 3, wipeSeq: 1 });
    expect(await limiter.check({ user: "ann" })).toMatchObject({ allowed: true, rev: 3 });
  });
});

describe("wipe", () => {
  it("reads as empty at once and then sweeps the dead keys, and nothing outside the limiter's names", async () => {
    const store = createRedisStore({ client });
    const limiter = createRateLimiter({ rules: { by_user: "5/h" }, timeoutMs: 10_000 }, { store });
    const foreign = ["gw:{l1}:other:t", "other", "xgw:{l1}:rl:t:by_user:u", "gw:{bus}:members"];
    for (const key of foreign) await client.set(key, "kept");
    const users = Array.from({ length: 300 }, (_, i) => ({ user: `u${i}`, tenant: i % 2 === 0 ? "a" : "b" }));
    await Promise.all(users.map((user) => limiter.check(user)));
    const states = async () => (await client.keys("gw:{l*}:rl:*")).length;
    expect(await states()).toBe(300);

    await limiter.wipe({ scope: "tenant", tenant: "a" });
    expect((await limiter.peek(users[0]!)).verdicts[0]?.remaining).toBe(5);
    expect((await limiter.peek(users[1]!)).verdicts[0]?.remaining).toBe(4);
    await eventually(async () => (await states()) === 150, { timeoutMs: 10_000 });

    // The sweep before may still be at its last batch: this one is carried out all the same.
    await limiter.wipe({ scope: "all" });
    expect((await limiter.peek(users[1]!)).verdicts[0]?.remaining).toBe(5);
    await limiter.check({ user: "late", tenant: "a" });
    await eventually(async () => (await states()) === 1, { timeoutMs: 10_000 });
    expect((await limiter.peek({ user: "late", tenant: "a" })).verdicts[0]?.remaining).toBe(4);
    expect(await client.mget(...foreign)).toEqual(["kept", "kept", "kept", "kept"]);
    await eventually(() => limiter.stats().store["swept"] === 300, { timeoutMs: 10_000 });
  });

  it("a sweep leaves what was written since the wipe, an overwritten state too", async () => {
    const store = createRedisStore({ client });
    const limiter = createRateLimiter({ rules: { by_user: "5/h" }, timeoutMs: 10_000 }, { store });
    for (const user of ["ann", "bob", "eve"]) await limiter.check({ user });
    await writeRecord(client, { mode: "enforce", rev: 1, wipeSeq: 1 });
    await limiter.check({ user: "bob" });
    expect(await store.sweep()).toBe(2);
    expect((await limiter.peek({ user: "bob" })).verdicts[0]?.remaining).toBe(4);
  });

  it("dead keys are unlinked, never deleted while Redis waits, and so is one key that is wiped", async () => {
    const store = createRedisStore({ client });
    const limiter = createRateLimiter({ rules: { by_user: "5/h" }, timeoutMs: 10_000 }, { store });
    for (const user of ["ann", "bob"]) await limiter.check({ user });
    await client.config("RESETSTAT");
    const calls = async (name: string) => {
      const stats = await client.info("commandstats");
      return Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
    };
    await limiter.wipe({ scope: "key", subject: { user: "ann" } });
    expect([await calls("unlink"), await calls("del")]).toEqual([1, 0]);
    const markLives = await client.pttl("gw:{l_}:wiped:_:by_user@3600f:ann");
    expect(markLives).toBeGreaterThan(3_500_000);
    expect(markLives).toBeLessThanOrEqual(3_600_000);
    await writeRecord(client, { mode: "enforce", rev: 1, wipeSeq: 1 });
    expect(await store.sweep()).toBe(1);
    expect(await client.keys("gw:{l*}:rl:*")).toEqual([]);
    // The sweep's own DEL is for its lock and its list, which are small.
    expect([await calls("unlink"), await calls("del")]).toEqual([2, 2]);
  });

  it("every sweep asked for while one runs is carried out, by the replica whose turn it is", async () => {
    const [holder, other] = [createRedisStore({ client }), createRedisStore({ client: redis.client() })];
    const limiter = createRateLimiter({ rules: { by_user: "5/h" }, timeoutMs: 10_000 }, { store: other });
    for (const tenant of ["a", "b", "c"]) await limiter.check({ user: "ann", tenant });
    await client.set("gw:{l_}:sweep:rate_limiter", "some replica", "PX", 60_000);
    for (const tenant of ["a", "b"]) {
      await writeRecord(client, { mode: "enforce", rev: 1, wipeSeq: 1, tenant });
      expect(await other.sweep(tenant)).toBe(0);
    }
    expect(await client.keys("gw:{l*}:rl:*")).toHaveLength(3);
    expect(await client.pttl("gw:{l_}:sweeps:rate_limiter")).toBeGreaterThan(0);
    await client.unlink("gw:{l_}:sweep:rate_limiter");
    expect(await holder.sweep("c")).toBe(2);
    expect(await client.keys("gw:{l*}:rl:*")).toHaveLength(1);
    expect(await client.exists("gw:{l_}:sweep:rate_limiter", "gw:{l_}:sweeps:rate_limiter")).toBe(0);
  });

  it("no sweep is lost when many replicas wipe one after the other and at once", async () => {
    const stores = Array.from({ length: 4 }, () => createRedisStore({ client: redis.client() }));
    const limiters = stores.map((store) =>
      createRateLimiter({ rules: { by_user: "5/h" }, timeoutMs: 10_000 }, { store }),
    );
    for (let round = 0; round < 10; round++) {
      const wipes = limiters.map(async (limiter, i) => {
        const tenant = `t${i % 3}`;
        for (const user of ["ann", "bob"]) await limiter.check({ user: `${user}${i}`, tenant });
        await limiter.wipe(i === 3 ? { scope: "all" } : { scope: "tenant", tenant });
      });
      await Promise.all(wipes);
    }
    await limiters[0]!.wipe({ scope: "all" });
    await eventually(async () => (await client.keys("gw:{l*}:rl:*")).length === 0, { timeoutMs: 10_000 });
    await eventually(async () => (await client.exists("gw:{l_}:sweep:rate_limiter")) === 0);
    expect(await client.exists("gw:{l_}:sweeps:rate_limiter")).toBe(0);
  });

  it("a replica that lost its turn stops, and the one that has it does the rest", async () => {
    const [stopped, next] = [createRedisStore({ client }), createRedisStore({ client: redis.client() })];
    const pipeline = client.pipeline();
    const dead = Buffer.concat([Buffer.from([9, 0, 0, 0]), Buffer.alloc(24)]);
    for (let i = 0; i < 10_000; i++) pipeline.set(`gw:{l_}:rl:_:by_user:${i}`, dead, "PX", 600_000);
    await pipeline.exec();
    const first = stopped.sweep();
    await eventually(async () => (await client.exists("gw:{l_}:sweep:rate_limiter")) === 1);
    // As if this replica had been paused for longer than its lock lives.
    await client.unlink("gw:{l_}:sweep:rate_limiter");
    const removed = await Promise.all([first, next.sweep()]);
    expect(removed[0] + removed[1]).toBe(10_000);
    expect(removed[1]).toBeGreaterThan(removed[0]);
    expect(await client.exists("gw:{l_}:sweep:rate_limiter", "gw:{l_}:sweeps:rate_limiter")).toBe(0);
  });

  it("is swept by one replica, at no more than 5 000 keys a second, and stops on close", async () => {
    const store = createRedisStore({ client });
    const pipeline = client.pipeline();
    const dead = Buffer.concat([Buffer.from([9, 0, 0, 0]), Buffer.alloc(24)]);
    for (let i = 0; i < 2_000; i++) pipeline.set(`gw:{l_}:rl:_:by_user:${i}`, dead, "PX", 600_000);
    await pipeline.exec();
    const started = performance.now();
    const [first, second] = await Promise.all([store.sweep(), createRedisStore({ client }).sweep()]);
    expect([first, second].sort()).toEqual([0, 2_000]);
    expect(performance.now() - started).toBeGreaterThanOrEqual(350);
    store.close();
    expect(await store.sweep()).toBe(0);
  });

  it("raises the highest wipe number seen when the record was lost", async () => {
    const store = createRedisStore({ client });
    const limiter = createRateLimiter({ rules: { by_user: "5/h" }, timeoutMs: 10_000 }, { store });
    await writeRecord(client, { mode: "permissive", rev: 7, wipeSeq: 3, expiresAt: Date.now() + 600_000 });
    await limiter.check({ user: "ann" });
    await limiter.wipe({ scope: "all" });
    expect(await client.get("gw:{l5}:ctl:rate_limiter")).toMatch(/^1\|8\|[^|]+\|permissive\|4\|\d+\|wipe$/);
    await limiter.check({ user: "ann" });
    await client.flushall();
    await limiter.wipe({ scope: "all" });
    expect(await client.get("gw:{l5}:ctl:rate_limiter")).toMatch(/^1\|9\|[^|]+\|inherit\|5\|0\|wipe$/);
    expect(await client.pttl("gw:{l5}:ctl:rate_limiter")).toBe(-1);
  });

  it("a refused answer of Redis is a store error, not a decision", async () => {
    const store = createRedisStore({ client: { ...fakeClient, callBuffer: async () => "OK" } });
    const limiter = createRateLimiter({ rules: { by_user: "5/h" } }, { store });
    expect(await limiter.check({ user: "ann" })).toMatchObject({ allowed: true, degraded: "open" });
    expect((await limiter.check({ user: "ann" }))[RECEIPT]).toBeUndefined();
  });
});

const fakeClient = {
  set: async () => "OK",
  unlink: async () => 0,
  scan: async (): Promise<[string, string[]]> => ["0", []],
};
