import { eventually, type RedisServer, startRedis, startRedisCluster } from "@gatewright/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createRetrier } from "../src/index.ts";
import { createRedisBudget, type RedisBudgetOptions } from "../src/redis/index.ts";

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
// Where no server could be started, that is the failure to read, and not one of ending it.
afterAll(() => redis?.close());

/** A patient timeout, so that a busy machine is not taken for an outage. */
const strict = { ratio: 0.2, floorPerSecond: 0, flushMs: 60_000, timeoutMs: 10_000 };
const budgetOf = (more: Partial<RedisBudgetOptions> = {}) =>
  createRedisBudget({ client: redis.client(), ...strict, ...more });

describe("createRedisBudget", () => {
  beforeEach(() => redis.client().flushall());

  it("RB-7 replicas share one budget: with everything failing, calls stay below 1.2 times the requests", async () => {
    const budgets = [budgetOf(), budgetOf(), budgetOf()];
    const retriers = budgets.map((budget) =>
      createRetrier({ jitter: "none", baseMs: 1, maxMs: 1, maxRetries: 3 }, { budget }),
    );
    let attempts = 0;
    const fail = () => {
      attempts++;
      throw new Error("no");
    };
    for (let i = 0; i < 100; i++) {
      await Promise.all(retriers.map((r) => r.retry(fail, { name: "t", idempotent: true }).catch(() => {})));
    }
    expect(attempts).toBeLessThanOrEqual(360);
    expect(attempts).toBeGreaterThanOrEqual(350);
    await Promise.all(budgets.map((budget) => budget.close()));
  });

  it("lets one replica spend what another earned", async () => {
    const [earner, spender] = [budgetOf(), budgetOf()];
    for (let i = 0; i < 10; i++) earner.deposit({ tool: "t" });
    expect((await spender.withdraw({ tool: "t" })).granted).toBe(false);
    await earner.flush();
    const verdicts = [];
    for (let i = 0; i < 3; i++) verdicts.push(await spender.withdraw({ tool: "t" }));
    expect(verdicts).toEqual([
      { granted: true, remaining: 1 },
      { granted: true, remaining: 0 },
      { granted: false, remaining: 0, refusedBy: "global" },
    ]);
  });

  it("gives back what was granted when one of the accounts refuses", async () => {
    const budget = budgetOf();
    for (let i = 0; i < 10; i++) budget.deposit({ tool: "a" });
    expect(await budget.withdraw({ tool: "b" })).toEqual({ granted: false, remaining: 0, refusedBy: "tool" });
    expect((await budget.withdraw({ tool: "a" })).remaining).toBe(1);
  });

  it("gives back to the purse that paid: refusals never turn the floor into savings", async () => {
    const budget = budgetOf({ ratio: 0, floorPerSecond: 0.001 });
    expect((await budget.withdraw({ tool: "a" })).granted).toBe(true);
    for (let i = 0; i < 3; i++) {
      expect(await budget.withdraw({ tool: "b" })).toMatchObject({ granted: false, refusedBy: "global" });
    }
    const [earned, floor] = await redis.client().hmget("gw:{b:tool%3Ab}:budget", "earned", "floor");
    expect([earned, floor]).toEqual(["0", "1000"]);
  });

  it("refills the floor by the server's time", async () => {
    const budget = budgetOf({ ratio: 0, floorPerSecond: 20 });
    const drain = async () => {
      let granted = 0;
      while ((await budget.withdraw()).granted) granted++;
      return granted;
    };
    expect(await drain()).toBeGreaterThanOrEqual(20);
    await eventually(async () => (await budget.withdraw()).granted);
  });

  it("tells its counters, the most refused first, and what is left of each in Redis", async () => {
    const budget = budgetOf();
    const other = budgetOf();
    for (let i = 0; i < 10; i++) budget.deposit({ tool: "a" });
    await budget.withdraw({ tool: "a" });
    for (let i = 0; i < 3; i++) await budget.withdraw({ tool: "quiet", server: "s:1" });
    expect(await budget.accounts()).toEqual([
      { level: "tool", id: "quiet", remaining: 0, granted: 0, refused: 3 },
      { level: "global", id: "", remaining: 1, granted: 1, refused: 0 },
      { level: "tool", id: "a", remaining: 1, granted: 1, refused: 0 },
    ]);
    expect(await budget.accounts(1)).toHaveLength(1);
    expect(await other.accounts()).toEqual([]);
  });

  it("sends waiting deposits by itself and when it is closed", async () => {
    const quick = budgetOf({ flushMs: 5 });
    quick.deposit();
    await eventually(() => quick.stats().pending === 0);
    await quick.close();
    const slow = budgetOf();
    for (let i = 0; i < 4; i++) slow.deposit();
    expect(slow.stats().pending).toBe(1);
    await slow.close();
    await slow.close();
    expect(await redis.client().hget("gw:{b:global}:budget", "earned")).toBe("1000");
  });

  it("forgets accounts after their time to live, and survives SCRIPT FLUSH", async () => {
    const budget = budgetOf({ ttlMs: 5_000 });
    await budget.withdraw({ tool: "t" });
    const client = redis.client();
    for (const key of await client.keys("*")) {
      const ttl = await client.pttl(key);
      expect(ttl).toBeGreaterThan(0);
      expect(ttl).toBeLessThanOrEqual(5_000);
    }
    await client.script("FLUSH");
    expect((await budget.withdraw()).degraded).toBeUndefined();
  });

  it("shows no URI in its keys: they may hold secrets", async () => {
    const budget = budgetOf({ prefix: "u" });
    for (const tool of ["db://x?key=geheim", "server-1/db://x?key=geheim", "s/a.b-c_d"]) {
      await budget.withdraw({ tool });
    }
    const keys = await redis.client().keys("u:*");
    expect(keys.filter((key) => key.includes("geheim"))).toEqual([]);
    expect(keys.filter((key) => /^u:\{b:[0-9a-f]{64}\}:budget$/.test(key))).toHaveLength(2);
    expect(keys).toContain("u:{b:tool%3As%2Fa.b-c_d}:budget");
  });

  it("escapes names, and hashes long ones, so that no key leaves its slot", async () => {
    const budget = budgetOf({ prefix: "x" });
    budget.deposit({ tool: "a}b{c", server: "s".repeat(200), tenant: "\ud800 ü" });
    await budget.withdraw({ tool: "a}b{c", server: "s".repeat(200), tenant: "\ud800 ü" });
    const keys = await redis.client().keys("*");
    const told = keys.filter((key) => /^x:\{b:[^{}]{1,64}\}:budget:[0-9a-f-]{36}$/.test(key));
    expect(told).toHaveLength(4);
    const accounts = keys.filter((key) => !told.includes(key));
    expect(accounts).toHaveLength(4);
    for (const key of accounts) expect(key).toMatch(/^x:\{b:[^{}]{1,64}\}:budget$/);
  });

  it("charges Redis for what was granted without it, once, and what calls earned meanwhile counts", async () => {
    const client = redis.client();
    const [budget, other] = [budgetOf({ client }), budgetOf()];
    for (let i = 0; i < 50; i++) budget.deposit();
    await budget.flush();
    client.disconnect();
    for (let i = 0; i < 25; i++) budget.deposit();
    let granted = 0;
    while ((await budget.withdraw()).granted) granted++;
    expect(granted).toBe(15);
    for (let i = 0; i < 10; i++) budget.deposit();
    await client.connect();
    await budget.flush();
    await budget.flush();
    expect(budget.stats().pending).toBe(0);
    expect(await redis.client().hget("gw:{b:global}:budget", "earned")).toBe("2000");
    for (const wanted of [true, true, false]) expect((await other.withdraw()).granted).toBe(wanted);
    await Promise.all([budget.close(), other.close()]);
  });

  it("charges the floor, too, but for no more than it gives in a second", async () => {
    const client = redis.client();
    const floor = { ratio: 0, floorPerSecond: 0.001 };
    const [budget, other] = [budgetOf({ ...floor, client }), budgetOf(floor)];
    client.disconnect();
    expect(await budget.withdraw()).toMatchObject({ granted: true, degraded: true });
    expect((await budget.withdraw()).granted).toBe(false);
    await client.connect();
    await budget.flush();
    expect((await other.withdraw()).granted).toBe(false);
    expect(Number(await redis.client().hget("gw:{b:global}:budget", "floor"))).toBeGreaterThanOrEqual(0);
    await Promise.all([budget.close(), other.close()]);
  });

  it("keeps a bounded number of waiting accounts and refuses bad options", () => {
    const budget = budgetOf({ maxKeys: 3 });
    for (let i = 0; i < 50; i++) budget.deposit({ tool: `t${i}` });
    expect(budget.stats().pending).toBe(3);
    expect(() => budgetOf({ ratio: 7 })).toThrow(/ratio/);
  });
});

// They wait, each for a Redis or for accounts of its own: side by side.
describe.concurrent("createRedisBudget, in time", () => {
  it("grants a retry now and then where the floor is below one a second, however often it is asked", async () => {
    const budget = budgetOf({ prefix: "floor", ratio: 0, floorPerSecond: 0.9 });
    expect((await budget.withdraw()).granted).toBe(true);
    expect((await budget.withdraw()).granted).toBe(false);
    await eventually(async () => (await budget.withdraw()).granted);
    expect((await budget.withdraw()).granted).toBe(false);
  });

  it("decides alone while Redis is away, and together again afterwards", async () => {
    const own = await startRedis();
    const budget = createRedisBudget({ client: own.client(), ...strict, timeoutMs: 2_000 });
    for (let i = 0; i < 5; i++) budget.deposit();
    expect(await budget.withdraw()).toEqual({ granted: true, remaining: 0 });
    // What Redis granted is not granted once more without it.
    for (let i = 0; i < 5; i++) budget.deposit();
    await own.stop();
    expect(await budget.withdraw()).toEqual({ granted: true, remaining: 0, degraded: true });
    expect(await budget.withdraw()).toMatchObject({ granted: false, degraded: true });
    await own.restart();
    await eventually(async () => (await budget.withdraw()).degraded === undefined);
    expect(budget.stats().degraded).toBeGreaterThanOrEqual(2);
    own.pause();
    expect((await budget.withdraw()).degraded).toBe(true);
    own.resume();
    await budget.close();
    await own.close();
  });

  it("books a deposit once, though Redis hears of it again and answers too late to be heard", async () => {
    await using own = await startRedis();
    const budget = createRedisBudget({ client: own.client(), ...strict, timeoutMs: 20 });
    for (let i = 0; i < 5; i++) budget.deposit();
    own.pause();
    await budget.flush();
    await budget.flush();
    expect(budget.stats().pending).toBe(1);
    own.resume();
    await eventually(async () => {
      await budget.flush();
      return budget.stats().pending === 0;
    });
    expect(await own.client().hget("gw:{b:global}:budget", "earned")).toBe("1000");
    await budget.close();
  });

  it.each(["is cut off", "hangs"])(
    "RB-7 while Redis comes and goes (it %s), calls of two replicas stay below 1.2 times the requests and what one had saved",
    async (how) => {
      await using own = await startRedis();
      const burst = 20;
      const clients = [own.client(), own.client()];
      const budgets = clients.map((client) =>
        createRedisBudget({ client, ...strict, burst, timeoutMs: how === "hangs" ? 15 : 10_000 }),
      );
      const retriers = budgets.map((budget) =>
        createRetrier({ jitter: "none", baseMs: 1, maxMs: 1, maxRetries: 3 }, { budget }),
      );
      let requests = 0;
      let attempts = 0;
      const call = async (fails: boolean) => {
        requests += 2;
        const fn = () => {
          attempts++;
          if (fails) throw new Error("no");
        };
        await Promise.all(retriers.map((r) => r.retry(fn, { name: "t", idempotent: true }).catch(() => {})));
      };
      for (let flap = 0; flap < 8; flap++) {
        for (let i = 0; i < 40; i++) await call(false);
        await Promise.all(budgets.map((budget) => budget.flush()));
        if (how === "hangs") own.pause();
        else for (const client of clients) client.disconnect();
        for (let i = 0; i < 10; i++) await call(true);
        if (how === "hangs") own.resume();
        else await Promise.all(clients.map((client) => client.connect()));
        await eventually(async () => {
          await Promise.all(budgets.map((budget) => budget.flush()));
          return budgets.every((budget) => budget.stats().pending === 0);
        });
        for (let i = 0; i < 10; i++) await call(true);
      }
      expect(budgets.every((budget) => budget.stats().degraded > 0)).toBe(true);
      expect(attempts).toBeGreaterThan(requests);
      expect(attempts).toBeLessThanOrEqual(1.2 * requests + burst);
      await Promise.all(budgets.map((budget) => budget.close()));
    },
  );

  it("works on a Cluster without a cross-slot error", async () => {
    await using cluster = await startRedisCluster();
    const budget = createRedisBudget({ client: cluster.client(), ...strict });
    const scope = { tool: "t", server: "s", tenant: "x" };
    for (let i = 0; i < 5; i++) budget.deposit(scope);
    expect(await budget.withdraw(scope)).toEqual({ granted: true, remaining: 0 });
    expect(await budget.withdraw(scope)).toMatchObject({ granted: false, refusedBy: "global" });
    await budget.close();
  });
});
