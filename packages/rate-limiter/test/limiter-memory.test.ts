import {
  createMemoryStore,
  createRateLimiter,
  type Decision,
  type RateLimiter,
} from "@gatewright/rate-limiter";
import { toHeaders } from "@gatewright/rate-limiter/http";
import { describe, expect, it } from "vitest";

function setUp(options: Parameters<typeof createRateLimiter>[0], at = 1_000_000) {
  const clock = { time: at, now: () => clock.time };
  const store = createMemoryStore({}, { clock });
  const limiter = createRateLimiter(options, { store, clock });
  return { clock, store, limiter, check: checker(limiter) };
}

function checker(limiter: RateLimiter) {
  return (...args: Parameters<RateLimiter["check"]>) => limiter.check(...args) as Decision;
}

describe("limiter over the memory store", () => {
  it("RL-1 counts 10/m down from 9 to 0, refuses the 11th and allows a retry exactly then", () => {
    const { check, clock } = setUp({ rules: { by_user: "10/m" } });
    for (let left = 9; left >= 0; left--) {
      clock.time += 10;
      const decision = check({ user: "ann" });
      expect(decision).toMatchObject({ allowed: true, code: "allowed", retryAfterMs: 0 });
      expect(decision.verdicts[0]?.remaining).toBe(left);
      expect(toHeaders(decision, { now: clock.time })["X-RateLimit-Remaining"]).toBe(String(left));
    }
    const refused = check({ user: "ann" });
    expect(refused).toMatchObject({ allowed: false, code: "rate_limited" });
    const retryAfter = Number(toHeaders(refused, { now: clock.time })["Retry-After"]);
    expect(retryAfter).toBeGreaterThanOrEqual(1);
    expect(retryAfter).toBeLessThanOrEqual(60);
    clock.time += (refused.retryAfterMs ?? 0) - 1;
    expect(check({ user: "ann" }).allowed).toBe(false);
    clock.time += 1;
    expect(check({ user: "ann" }).allowed).toBe(true);
  });

  it("RL-2 charges no rule when one refuses", () => {
    const { check, limiter } = setUp({ rules: { by_user: "10/m", by_tool: { search: "1/m" } } });
    const decisions = Array.from({ length: 6 }, () => check({ user: "ann", tool: "search" }));
    expect(decisions.map((d) => d.allowed)).toEqual([true, false, false, false, false, false]);
    expect(decisions[5]?.verdicts.find((v) => !v.allowed)?.rule).toBe("by_tool");
    expect((limiter.peek({ user: "ann" }) as Decision).verdicts[0]?.remaining).toBe(9);
    expect(limiter.stats()).toMatchObject({ allowed: 1, refused: 5, shadowRefused: 0, degraded: 0 });
  });

  it("RL-3 waits for all refusing rules, and names them", () => {
    const { check, clock } = setUp({ rules: { by_user: "1/2s", by_tool: { search: "1/40s" } } });
    check({ user: "ann", tool: "search" });
    clock.time += 100;
    const refused = check({ user: "ann", tool: "search" });
    expect(refused.retryAfterMs).toBe(39_900);
    expect(refused.verdicts.filter((v) => !v.allowed).map((v) => v.rule)).toEqual(["by_user", "by_tool"]);
    expect(toHeaders(refused)["X-RateLimit-Limit"]).toBe("1");
    expect(toHeaders(refused)["Retry-After"]).toBe("40");
  });

  it("a cost above the capacity is refused for ever, without Retry-After", () => {
    const { check } = setUp({ rules: { by_user: "10/m" } });
    const refused = check({ user: "ann" }, { cost: 11 });
    expect(refused).toMatchObject({ allowed: false, code: "cost_exceeds_limit", retryAfterMs: null });
    expect(toHeaders(refused)["Retry-After"]).toBeUndefined();
    expect(() => check({ user: "ann" }, { cost: 0 })).toThrow("cost");
    expect(() => check({ user: "ann" }, { cost: 1.5 })).toThrow("cost");
  });

  it("a tool, a prompt and a resource of one name never share a bucket", () => {
    const rules = { by_tool: { x: "1/m" }, by_prompt: { x: "1/m" }, by_resource: { x: "1/m" } };
    const { check } = setUp({ rules });
    expect(check({ tool: "x" }).allowed).toBe(true);
    expect(check({ prompt: "x" }).allowed).toBe(true);
    expect(check({ resource: "x" }).allowed).toBe(true);
    expect(check({ tool: "x" }).allowed).toBe(false);
    expect(check({ tool: "other" }).verdicts).toEqual([]);
  });

  it("counters are per tenant, and a rule without its dimension is skipped", () => {
    const { check } = setUp({ rules: { by_user: "1/m", by_tenant: "2/m", by_ip: "9/m" } });
    expect(check({ user: "ann", tenant: "a" }).verdicts.map((v) => v.rule)).toEqual(["by_user", "by_tenant"]);
    expect(check({ user: "ann", tenant: "b" }).allowed).toBe(true);
    expect(check({ user: "ann", tenant: " " }).verdicts.map((v) => v.rule)).toEqual(["by_user"]);
    expect(check({ user: "ann", tenant: "a" }).allowed).toBe(false);
    expect(check({ ip: "10.0.0.1" }).verdicts.map((v) => v.kind)).toEqual(["user", "ip"]);
  });

  it("ids that look like one another never share a counter", () => {
    const { check } = setUp({ rules: { composite: { pair: { by: ["user", "tool"], rate: "1/m" } } } });
    expect(check({ user: "a:b", tool: "c" }).allowed).toBe(true);
    expect(check({ user: "a", tool: "b:c" }).allowed).toBe(true);
    expect(check({ user: "a", tool: "b" }).allowed).toBe(true);
    expect(check({ user: "a%3Ab", tool: "c" }).allowed).toBe(true);
    expect(check({ user: "a:b", tool: "c" }).allowed).toBe(false);
    expect(check({ user: "a" }).verdicts).toEqual([]);
  });

  it("RL-10 two tools of one team share one by_user counter, across reloads", () => {
    const { check, store, clock } = setUp({ rules: { by_user: "3/m" } });
    check({ user: "ann", tenant: "team", tool: "search" });
    check({ user: "ann", tenant: "team", tool: "write" });
    const reloaded = createRateLimiter({ rules: { by_user: "3/m", by_ip: "5/s" } }, { store, clock });
    const last = reloaded.check({ user: "ann", tenant: "team", tool: "search" }) as Decision;
    expect(last.verdicts[0]?.remaining).toBe(0);
    expect((reloaded.check({ user: "ann", tenant: "team", tool: "write" }) as Decision).allowed).toBe(false);
  });

  it("RL-11 exhausting server A leaves B open", () => {
    const { check } = setUp({ rules: { by_server: { a: "1/m", b: "1/m" } } });
    expect(check({ server: "a" }).allowed).toBe(true);
    expect(check({ server: "a" }).allowed).toBe(false);
    expect(check({ server: "b" }).allowed).toBe(true);
  });

  it("permissive charges as enforce would and reports the shadow verdict; disabled charges nothing", () => {
    const { check, limiter } = setUp({ rules: { by_user: "2/m" } });
    check({ user: "ann" }, { mode: "disabled" });
    expect(check({ user: "ann" }, { mode: "permissive" }).verdicts[0]?.remaining).toBe(1);
    check({ user: "ann" }, { mode: "permissive" });
    const shadow = check({ user: "ann" }, { mode: "permissive" });
    expect(shadow).toMatchObject({ allowed: true, shadow: true, code: "rate_limited" });
    expect(shadow.retryAfterMs).toBe(60_000);
    expect(limiter.stats()).toMatchObject({ allowed: 4, shadowRefused: 1 });
    expect(check({ user: "ann" }).allowed).toBe(false);
  });

  it("a dedupe id charges an admitted call once, and stores nothing for a refused one", () => {
    const { check, clock, limiter } = setUp({ rules: { by_user: "2/m" } });
    const remaining = () => (limiter.peek({ user: "ann" }) as Decision).verdicts[0]?.remaining;
    expect(check({ user: "ann" }, { dedupeId: "1" }).allowed).toBe(true);
    expect(check({ user: "ann" }, { dedupeId: "1" }).allowed).toBe(true);
    expect(remaining()).toBe(1);
    check({ user: "ann" }, { dedupeId: "2" });
    expect(check({ user: "ann" }, { dedupeId: "3" }).allowed).toBe(false);
    expect(check({ user: "ann" }, { dedupeId: "3" }).allowed).toBe(false);
    expect(check({ user: "ann" }, { dedupeId: "2" }).allowed).toBe(true);
    clock.time += 60_000;
    check({ user: "ann" }, { dedupeId: "2" });
    expect(remaining()).toBe(1);
  });

  it("a refund gives back what was charged, once in its window and never after a wipe", () => {
    const { check, clock, limiter } = setUp({ rules: { by_user: "3/m" } });
    const remaining = () => (limiter.peek({ user: "ann" }) as Decision).verdicts[0]?.remaining;
    limiter.refund(check({ user: "ann" }, { cost: 2 }));
    expect(remaining()).toBe(3);
    const first = check({ user: "ann" });
    clock.time += 60_000;
    check({ user: "ann" });
    limiter.refund(first);
    expect(remaining()).toBe(2);
    const second = check({ user: "ann" });
    limiter.wipe({ scope: "all" });
    check({ user: "ann" });
    limiter.refund(second);
    expect(remaining()).toBe(2);
    check({ user: "ann" }, { cost: 2 });
    limiter.refund(check({ user: "ann" }));
    expect(remaining()).toBe(0);
  });

  it("RL-9 wiping tenant A leaves tenant B, and wiping one key leaves its neighbour", () => {
    const { check, limiter } = setUp({ rules: { by_user: "1/m" } });
    const exhausted = () =>
      (["a", "b"] as const).map((tenant) => !(limiter.peek({ user: "ann", tenant }) as Decision).allowed);
    const remaining = (subject: { user: string; tenant?: string }) =>
      (limiter.peek(subject) as Decision).verdicts[0]?.remaining;
    expect(exhausted()).toEqual([false, false]);
    for (const tenant of ["a", "b"]) check({ user: "ann", tenant });
    limiter.wipe({ scope: "tenant", tenant: "a" });
    expect(remaining({ user: "ann", tenant: "a" })).toBe(1);
    expect(remaining({ user: "ann", tenant: "b" })).toBe(0);
    check({ user: "bob", tenant: "b" });
    limiter.wipe({ scope: "key", subject: { user: "ann", tenant: "b" } });
    expect(remaining({ user: "ann", tenant: "b" })).toBe(1);
    expect(remaining({ user: "bob", tenant: "b" })).toBe(0);
  });

  it("without rules everything is allowed, and an observer that throws is ignored", () => {
    const seen: string[] = [];
    const limiter = createRateLimiter(
      {},
      {
        observer: {
          onDecision: (decision) => {
            seen.push(decision.code);
            throw new Error("observer");
          },
        },
      },
    );
    expect(limiter.check({ user: "ann" })).toMatchObject({ allowed: true, verdicts: [] });
    expect(seen).toEqual(["allowed"]);
    expect(limiter.close()).toBeUndefined();
  });
});
