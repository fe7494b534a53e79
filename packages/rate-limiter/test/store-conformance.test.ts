import {
  ALGORITHMS,
  type AlgorithmName,
  createRateLimiter,
  type Decision,
  type RateLimiterOptions,
  type Subject,
} from "@gatewright/rate-limiter";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BACKENDS, type Backend, type TestClock } from "./support/store-variants.ts";

const NAMES = Object.keys(ALGORITHMS) as AlgorithmName[];
let prefixes = 0;

describe.each(Object.keys(BACKENDS))("store conformance: %s", (kind) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await BACKENDS[kind]!();
  });
  afterAll(() => backend.close());

  describe.each(NAMES)("%s", (algorithm) => {
    function setUp(rules: RateLimiterOptions["rules"]) {
      const clock: TestClock = { time: 1_700_000_000_000, now: () => clock.time };
      const store = backend.store(`p${prefixes++}`, clock);
      const limiter = createRateLimiter({ algorithm, rules, timeoutMs: 10_000 }, { store, clock });
      const left = async (subject: Subject) => {
        const { verdicts } = await limiter.peek(subject);
        return verdicts.map((verdict) => verdict.remaining);
      };
      return {
        clock,
        limiter,
        left,
        reload: (next: RateLimiterOptions["rules"]) =>
          createRateLimiter({ algorithm, rules: next, timeoutMs: 10_000 }, { store, clock }),
      };
    }

    it("RL-1 counts 10/m down to 0, refuses, and allows a retry exactly when it said", async () => {
      const { clock, limiter } = setUp({ by_user: "10/m" });
      const seen: (number | undefined)[] = [];
      for (let i = 0; i < 10; i++) seen.push((await limiter.check({ user: "ann" })).verdicts[0]?.remaining);
      expect(seen).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
      const refused = await limiter.check({ user: "ann" });
      expect(refused).toMatchObject({ allowed: false, code: "rate_limited" });
      clock.time += (refused.retryAfterMs ?? 0) - 1;
      expect((await limiter.check({ user: "ann" })).allowed).toBe(false);
      clock.time += 1;
      expect((await limiter.check({ user: "ann" })).allowed).toBe(true);
    });

    it("RL-2 charges all rules or none", async () => {
      const { limiter, left } = setUp({ by_user: "10/m", by_tool: { x: "1/m" } });
      const decisions: Decision[] = [];
      for (let i = 0; i < 6; i++) decisions.push(await limiter.check({ user: "ann", tool: "x" }));
      expect(decisions.map((d) => d.allowed)).toEqual([true, false, false, false, false, false]);
      expect(decisions[5]?.verdicts.map((v) => [v.rule, v.allowed, v.remaining])).toEqual([
        ["by_user", true, 9],
        ["by_tool", false, 0],
      ]);
      expect(await left({ user: "ann" })).toEqual([9]);
    });

    it("RL-3 waits for the slowest of several refusing rules and names them all", async () => {
      const { clock, limiter } = setUp({ by_user: "1/2s", by_tool: { x: "1/40s" } });
      await limiter.check({ user: "ann", tool: "x" });
      const refused = await limiter.check({ user: "ann", tool: "x" });
      expect(refused.verdicts.map((v) => v.allowed)).toEqual([false, false]);
      expect(refused.retryAfterMs).toBe(refused.verdicts[1]?.retryAfterMs);
      expect(refused.retryAfterMs).toBe(algorithm === "sliding_window" ? 80_000 : 40_000);
      clock.time += refused.retryAfterMs ?? 0;
      expect((await limiter.check({ user: "ann", tool: "x" })).allowed).toBe(true);
    });

    it("a cost takes that many tokens, and one above the capacity never passes", async () => {
      const { limiter, left } = setUp({ by_user: "10/m" });
      await limiter.check({ user: "ann" }, { cost: 7 });
      expect(await left({ user: "ann" })).toEqual([3]);
      expect(await limiter.check({ user: "ann" }, { cost: 4 })).toMatchObject({ allowed: false });
      expect(await limiter.check({ user: "ann" }, { cost: 11 })).toMatchObject({
        code: "cost_exceeds_limit",
        retryAfterMs: null,
      });
      expect(await left({ user: "ann" })).toEqual([3]);
    });

    it("a peek charges nothing", async () => {
      const { limiter, left } = setUp({ by_user: "2/m" });
      for (let i = 0; i < 3; i++) expect((await limiter.peek({ user: "ann" })).allowed).toBe(true);
      expect(await left({ user: "ann" })).toEqual([2]);
    });

    it("a refund gives back what was charged once, and nothing after a wipe nor for a refusal", async () => {
      const { limiter, left } = setUp({ by_user: "3/m", by_ip: "9/m" });
      const who = { user: "ann", ip: "1" };
      const first = await limiter.check(who, { cost: 2 });
      await limiter.check(who);
      for (let times = 0; times < 2; times++) await limiter.refund(first);
      expect(await left(who)).toEqual([2, 8]);
      const second = await limiter.check(who);
      await limiter.wipe({ scope: "all" });
      await limiter.check(who, { cost: 3 });
      await limiter.refund(second);
      await limiter.refund(await limiter.check(who));
      expect(await left(who)).toEqual([0, 6]);
    });

    it("a refund of what is free again anyway gives nothing back", async () => {
      const { clock, limiter } = setUp({ by_user: "10/s" });
      const first = await limiter.check({ user: "ann" }, { cost: 10 });
      clock.time += 2_100;
      expect((await limiter.check({ user: "ann" }, { cost: 10 })).allowed).toBe(true);
      await limiter.refund(first);
      expect((await limiter.check({ user: "ann" })).allowed).toBe(false);
    });

    it("RL-9 a wipe of tenant A leaves tenant B, one of a key its neighbours, one of all nothing", async () => {
      const { limiter, left } = setUp({ by_user: "5/m" });
      const [a, b, c] = [
        { user: "ann", tenant: "a" },
        { user: "ann", tenant: "b" },
        { user: "bob", tenant: "b" },
      ];
      const all = async () => [...(await left(a)), ...(await left(b)), ...(await left(c))];
      for (const who of [a, b, c]) await limiter.check(who);
      expect(await all()).toEqual([4, 4, 4]);
      await limiter.wipe({ scope: "tenant", tenant: "a" });
      expect(await all()).toEqual([5, 4, 4]);
      await limiter.wipe({ scope: "key", subject: b });
      expect(await all()).toEqual([5, 5, 4]);
      await limiter.wipe({ scope: "all" });
      expect(await all()).toEqual([5, 5, 5]);
    });

    it("RL-9 after a wipe of its key a decision from before gives nothing back, one from after does, others do", async () => {
      const { clock, limiter, left } = setUp({ by_user: "10/m", by_ip: "30/m" });
      const who = { user: "ann", ip: "1" };
      const before = await limiter.check(who, { cost: 10 });
      await limiter.wipe({ scope: "key", subject: { user: "ann", ip: "2" } });
      const meanwhile = await limiter.check(who, { cost: 10 });
      await limiter.refund(before);
      expect(await left(who)).toEqual([0, 20]);
      await limiter.wipe({ scope: "key", subject: { user: "ann", ip: "2" } });
      clock.time += 1;
      const after = await limiter.check(who, { cost: 10 });
      await limiter.refund(meanwhile);
      expect(await left(who)).toEqual([0, 20]);
      await limiter.refund(after);
      expect(await left(who)).toEqual([10, 30]);
    });

    it("RL-10 counters survive a new limiter over the same store", async () => {
      const { limiter, reload } = setUp({ by_user: "3/m" });
      await limiter.check({ user: "ann", tenant: "t", tool: "x" });
      const next = reload({ by_user: "3/m", by_ip: "9/m" });
      expect((await next.check({ user: "ann", tenant: "t", tool: "y" })).verdicts[0]?.remaining).toBe(1);
    });

    it("a limit per tenant refuses all its users together, no other tenant, and nobody without one", async () => {
      const { limiter } = setUp({ by_user: "9/m", by_tenant: "2/m" });
      const check = (user: string, tenant?: string) => limiter.check({ user, tenant });
      for (const user of ["ann", "bob"]) expect((await check(user, "a")).allowed).toBe(true);
      const refused = await check("eve", "a");
      expect(refused).toMatchObject({ allowed: false, code: "rate_limited" });
      expect(refused.verdicts.map(({ rule, kind, allowed }) => [rule, kind, allowed])).toEqual([
        ["by_user", "user", true],
        ["by_tenant", "tenant", false],
      ]);
      expect((await check("eve", "b")).allowed).toBe(true);
      for (let i = 0; i < 3; i++)
        expect((await check("eve")).verdicts.map(({ rule }) => rule)).toEqual(["by_user"]);
    });

    it("a refund after the rate was changed goes to what was charged and never makes room elsewhere", async () => {
      const { limiter, left, reload } = setUp({ by_user: "10/m" });
      const charged = await limiter.check({ user: "ann" });
      const slower = reload({ by_user: "3/h" });
      for (let i = 0; i < 3; i++) expect((await slower.check({ user: "ann" })).allowed).toBe(true);
      expect(await left({ user: "ann" })).toEqual([9]);
      await limiter.refund(charged);
      expect(await left({ user: "ann" })).toEqual([10]);
      expect((await slower.check({ user: "ann" })).allowed).toBe(false);
    });

    it("limits of two windows in use over one store are both kept, whoever comes in between", async () => {
      const { limiter, reload } = setUp({ by_user: "2/h" });
      const other = reload({ by_user: "3/m" });
      const admitted = [0, 0];
      for (let i = 0; i < 12; i++) {
        const turn = i % 2;
        const decision = await (turn === 0 ? limiter : other).check({ user: "ann", tenant: "acme" });
        if (decision.allowed) admitted[turn]! += 1;
      }
      expect(admitted).toEqual([2, 3]);
    });

    it("two limits of one window over one store: neither admits more than its bound, whoever comes in between", async () => {
      const { clock, limiter, reload } = setUp({ by_user: "60/m" });
      const small = reload({ by_user: "2/m" });
      const passes = async (one: typeof limiter) => (await one.check({ user: "ann" })).allowed;
      const admitted = { large: 0, small: 0 };
      while (await passes(limiter)) admitted.large++;
      for (let i = 0; i < 10; i++) {
        clock.time += 6_000;
        if (await passes(small)) admitted.small++;
        while (await passes(limiter)) admitted.large++;
      }
      expect(admitted.large).toBeLessThanOrEqual(120);
      expect(admitted.small).toBeLessThanOrEqual(4);
      // With windows the calls of both count for each, so the larger leaves nothing to the smaller.
      if (algorithm === "token_bucket" || algorithm === "gcra")
        expect(admitted).toEqual({ large: 120, small: 3 });
    });

    it("what a rule of one's own making counts by is part of it: the same name by other keys counts apart", async () => {
      const rule = (...by: ("user" | "tool")[]) => ({ composite: { pair: { by, rate: "2/m" } } });
      const { limiter, reload } = setUp(rule("user", "tool"));
      const other = reload(rule("tool", "user"));
      const who = { user: "x", tool: "x" };
      const left = async () => [
        (await limiter.check(who)).verdicts[0]?.remaining,
        (await other.check(who)).verdicts[0]?.remaining,
      ];
      expect([await left(), await left()]).toEqual([
        [1, 1],
        [0, 0],
      ]);
    });

    it("RL-11 limits per server and per tool are apart, and names are never confused", async () => {
      const { limiter } = setUp({
        by_server: { a: "1/m", b: "1/m" },
        by_tool: { a: "1/m" },
        by_prompt: { a: "1/m" },
        by_resource: { a: "1/m" },
        composite: { pair: { by: ["user", "ip"], rate: "1/m" } },
      });
      for (const key of ["server", "tool", "prompt", "resource"]) {
        expect((await limiter.check({ [key]: "a" })).allowed).toBe(true);
        expect((await limiter.check({ [key]: "a" })).allowed).toBe(false);
      }
      expect((await limiter.check({ server: "b" })).allowed).toBe(true);
      expect((await limiter.check({ user: "a:60", ip: "b" })).allowed).toBe(true);
      expect((await limiter.check({ user: "a", ip: "60:b" })).allowed).toBe(true);
      expect((await limiter.check({ user: "é".repeat(80), ip: "{x}" })).allowed).toBe(true);
      expect((await limiter.check({ user: "é".repeat(80), ip: "{x}" })).allowed).toBe(false);
    });

    it("a dedupe id charges an admitted call once and stores nothing for a refused one", async () => {
      const { limiter, left } = setUp({ by_user: "2/m" });
      for (let i = 0; i < 3; i++) {
        expect((await limiter.check({ user: "ann" }, { dedupeId: "1" })).allowed).toBe(true);
      }
      expect(await left({ user: "ann" })).toEqual([1]);
      await limiter.check({ user: "ann" }, { dedupeId: "2" });
      for (let i = 0; i < 2; i++) {
        expect((await limiter.check({ user: "ann" }, { dedupeId: "3" })).allowed).toBe(false);
      }
      expect((await limiter.check({ user: "ann" }, { dedupeId: "2" })).allowed).toBe(true);
    });

    it("permissive charges as enforce would and always allows; disabled charges nothing", async () => {
      const { limiter, left } = setUp({ by_user: "2/m" });
      expect((await limiter.check({ user: "ann" }, { mode: "disabled" })).verdicts).toEqual([]);
      for (let i = 0; i < 2; i++) await limiter.check({ user: "ann" }, { mode: "permissive" });
      const shadow = await limiter.check({ user: "ann" }, { mode: "permissive" });
      expect(shadow).toMatchObject({ allowed: true, shadow: true, code: "rate_limited", mode: "permissive" });
      expect(await left({ user: "ann" })).toEqual([0]);
      expect((await limiter.check({ user: "ann" })).allowed).toBe(false);
    });
  });
});
