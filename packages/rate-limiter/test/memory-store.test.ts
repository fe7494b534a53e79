import {
  ALGORITHMS,
  type AlgorithmName,
  createMemoryStore,
  createRateLimiter,
  type Decision,
  isRateLimiterError,
} from "@gatewright/rate-limiter";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { keyState } from "../src/algorithms/algorithm.ts";
import { KeyTable } from "../src/memory/key-table.ts";
import { KeyWipes } from "../src/memory/key-wipes.ts";
import { RecentIds } from "../src/memory/recent-ids.ts";
import { playOnBoth } from "./support/against-pure.ts";
import { schedules } from "./support/schedules.ts";

function setUp(maxKeys: number, rate = "1/m") {
  const clock = { time: 1_000_000, now: () => clock.time };
  const store = createMemoryStore({ maxKeys }, { clock, random: () => 0.5 });
  const limiter = createRateLimiter({ rules: { by_user: rate } }, { store });
  const check = (user: string, tenant?: string) => limiter.check({ user, tenant }) as Decision;
  return { clock, store, limiter, check };
}

describe("memory store", () => {
  it("never holds more than maxKeys, and evicts the key that would expire first", () => {
    const { clock, store, check } = setUp(64);
    for (let i = 0; i < 1_000; i++) {
      clock.time += 10;
      expect(check(`u${i}`).allowed).toBe(true);
      expect(store.stats()["keys"]).toBeLessThanOrEqual(64);
    }
    expect(store.stats()["evicted"]).toBeGreaterThan(900);
    expect(check("u999").allowed).toBe(false);
  });

  it("frees expired keys as new ones come, a few at a time and without evicting any", () => {
    const { clock, store, check } = setUp(10_000);
    for (let i = 0; i < 5_000; i++) check(`old${i}`);
    clock.time += 60_000;
    for (let i = 0; i < 5_000; i++) check(`new${i}`);
    expect(store.stats()).toMatchObject({ evicted: 0 });
    expect(store.stats()["keys"]).toBeLessThan(6_000);
    expect(store.stats()["swept"]).toBeGreaterThan(4_000);
  });

  it("keeps two rules of one check apart even when inserting one evicts the other", () => {
    const clock = { now: () => 1_000_000 };
    const store = createMemoryStore({ maxKeys: 16 }, { clock });
    const limiter = createRateLimiter({ rules: { by_user: "1/m", by_ip: "1/m" } }, { store });
    for (let i = 0; i < 500; i++) {
      const decision = limiter.check({ user: `u${i}`, ip: `i${i}` }) as Decision;
      expect(decision.allowed).toBe(true);
      expect(decision.verdicts.map((verdict) => verdict.remaining)).toEqual([0, 0]);
    }
    expect(store.stats()["keys"]).toBe(16);
  });

  it("goes on counting a key that another rule of the same check has just evicted", () => {
    const clock = { time: 1_000_000, now: () => clock.time };
    const store = createMemoryStore({ maxKeys: 16 }, { clock });
    const limiter = createRateLimiter({ rules: { by_user: "2/m", by_ip: "1000/m" } }, { store });
    for (let i = 0; i < 500; i++) {
      clock.time += 10;
      const decision = limiter.check({ user: `u${i}`, ip: "shared" }) as Decision;
      expect(decision.verdicts.map((verdict) => verdict.remaining)).toEqual([1, 999 - i]);
    }
    expect(store.stats()["keys"]).toBe(16);
  });

  it("RL-9 remembers any number of tenant wipes in bounded memory", () => {
    const { store, limiter, check } = setUp(100_000);
    for (let i = 0; i < 2_500; i++) check("ann", `t${i}`);
    for (let i = 0; i < 2_400; i++) limiter.wipe({ scope: "tenant", tenant: `t${i}` });
    for (let i = 0; i < 2_500; i++) expect(check("ann", `t${i}`).allowed).toBe(i < 2_400);
    expect(store.stats()["keys"]).toBe(2_500);
  });

  it.each(["token_bucket", "gcra"] as const)(
    "%s: a refund of what a tenant's wipe has emptied gives nothing, however many wipes of others came after",
    (algorithm) => {
      const clock = { now: () => 1_700_000_000_000 };
      const options = { rules: { by_user: { rate: "10/h", burst: 10 } }, algorithm };
      const limiter = createRateLimiter(options, { store: createMemoryStore({}, { clock }), clock });
      const ann = { user: "ann", tenant: "t" };
      const before = limiter.check(ann, { cost: 10 }) as Decision;
      limiter.wipe({ scope: "tenant", tenant: "t" });
      const after = limiter.check(ann, { cost: 4 }) as Decision;
      for (let i = 0; i < 1_000; i++) limiter.wipe({ scope: "tenant", tenant: `other ${i}` });
      limiter.refund(before);
      expect((limiter.peek(ann) as Decision).verdicts[0]?.remaining).toBe(6);
      const last = limiter.check(ann, { cost: 6 }) as Decision;
      limiter.refund(last);
      expect([after.allowed, (limiter.peek(ann) as Decision).verdicts[0]?.remaining]).toEqual([true, 6]);
    },
  );

  it("a wipe costs the same whatever the number of counters", () => {
    const { limiter, check } = setUp(100_000);
    for (let i = 0; i < 50_000; i++) check(`u${i}`);
    limiter.wipe({ scope: "all" });
    for (let i = 0; i < 50_000; i++) expect(check(`u${i}`).allowed).toBe(true);
  });

  it("a clock that steps back admits nothing more, and locks nobody out for longer than a window", () => {
    const { clock, check } = setUp(100, "2/m");
    check("ann");
    check("ann");
    clock.time -= 3_600_000;
    const refused = check("ann");
    expect(refused).toMatchObject({ allowed: false, retryAfterMs: 60_000 });
    clock.time += 60_000;
    expect(check("ann").allowed).toBe(true);
  });

  it.each(Object.keys(ALGORITHMS) as AlgorithmName[])(
    "RL-4 %s: random schedules with refunds and clock steps back give what the pure functions say",
    async (name) => {
      const clock = { time: 0, now: () => clock.time };
      const samples = fc.sample(schedules(name, 7), { seed: 20_261_120, numRuns: 2_000 });
      const store = createMemoryStore({}, { clock });
      let compared = 0;
      for (let i = 0; i < samples.length; i++)
        compared += await playOnBoth(store, clock, name, String(i), samples[i]!);
      expect(compared).toBeGreaterThanOrEqual(2_000);
    },
  );

  it("refuses a bound that is no bound", () => {
    for (const maxKeys of [0, 15, 1.5, Number.NaN]) {
      try {
        createMemoryStore({ maxKeys });
        expect.unreachable();
      } catch (error) {
        expect(isRateLimiterError(error) && error.details["path"]).toBe("maxKeys");
      }
    }
    expect(isRateLimiterError(new Error("other"))).toBe(false);
  });

  it("holds no timer: a process that only checks ends by itself", () => {
    const { check } = setUp(100);
    const before = process.getActiveResourcesInfo().length;
    for (let i = 0; i < 50; i++) check(`u${i}`);
    expect(process.getActiveResourcesInfo().length).toBe(before);
  });
});

describe("key table", () => {
  it("behaves as a map of keys to states, through growth, removal and reuse", () => {
    const operations = fc.array(
      fc.tuple(fc.constantFrom("put", "put", "put", "remove"), fc.nat(400), fc.nat(2)),
      {
        maxLength: 1_500,
      },
    );
    fc.assert(
      fc.property(operations, fc.integer(), (steps, seed) => {
        const table = new KeyTable(seed);
        const model = new Map<string, number>();
        for (const [operation, number, tenantNumber] of steps) {
          const [id, tenant, rule] = [
            `k${number}`,
            tenantNumber === 0 ? undefined : `t${tenantNumber}`,
            number % 3,
          ];
          const name = `${rule}/${tenant}/${id}`;
          const slot = table.find(rule, tenant, id);
          expect(slot >= 0).toBe(model.has(name));
          if (slot >= 0) expect(table.load(slot, 0).used).toBe(model.get(name));
          if (operation === "remove") {
            if (slot >= 0) table.remove(slot);
            model.delete(name);
          } else {
            const used = (model.get(name) ?? 0) + 1;
            table.save(slot >= 0 ? slot : table.insert(rule, tenant, id), keyState(1, used, 0), 0);
            model.set(name, used);
          }
          expect(table.size).toBe(model.size);
        }
        const held = Array.from({ length: table.highest }, (_, slot) => table.keyAt(slot)).filter(
          (key) => key,
        );
        expect(held).toHaveLength(model.size);
        expect(table.keyAt(table.highest)).toBeUndefined();
      }),
      { seed: 20_261_120, numRuns: 100 },
    );
  });

  it("spreads names that differ in one character over its buckets", () => {
    const table = new KeyTable(1);
    const buckets = new Set<number>();
    for (let i = 0; i < 4_096; i++) buckets.add(table.hash(0, undefined, `user-${i}@example.com`) & 4_095);
    expect(buckets.size).toBeGreaterThan(4_096 * 0.6);
  });
});

describe("wipes of keys", () => {
  it("are remembered for each key, and beyond the bound for all keys alike", () => {
    const wipes = new KeyWipes(2);
    wipes.add(0, "t", "ann", 1);
    wipes.add(0, undefined, "bob", 2);
    wipes.add(0, "t", "ann", 3);
    expect([wipes.oldest(0, "t", "ann"), wipes.oldest(0, "t", "bob"), wipes.oldest(1, "t", "ann")]).toEqual([
      3, 0, 0,
    ]);
    wipes.add(0, "t", "eve", 4);
    expect([
      wipes.oldest(0, undefined, "bob"),
      wipes.oldest(9, "x", "y"),
      wipes.oldest(0, "t", "ann"),
    ]).toEqual([2, 2, 3]);
  });
});

describe("recent ids", () => {
  it("are remembered for a span and bounded", () => {
    const recent = new RecentIds(60_000, 2);
    recent.add("a", 0);
    expect(recent.has("a", 59_999)).toBe(true);
    expect(recent.has("a", 60_000)).toBe(false);
    for (const id of ["b", "c", "d", "e", "f"]) recent.add(id, 1);
    expect(recent.has("b", 1)).toBe(false);
    expect(recent.has("f", 1)).toBe(true);
  });
});
