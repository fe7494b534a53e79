import { createMemoryStore, createRateLimiter, type Decision } from "@gatewright/rate-limiter";
import { decisive, toHeaders } from "@gatewright/rate-limiter/http";
import { describe, expect, it } from "vitest";

const clock = { now: () => 1_700_000_000_000 };

function check(rules: object, subject: object, times: number): Decision {
  const limiter = createRateLimiter({ rules }, { store: createMemoryStore({}, { clock }) });
  let decision = limiter.check(subject) as Decision;
  for (let i = 1; i < times; i++) decision = limiter.check(subject) as Decision;
  return decision;
}

describe("HTTP headers", () => {
  it("tell of the rule with the least share left on success", () => {
    const decision = check({ by_user: "10/m", by_tool: { x: "4/h" } }, { user: "ann", tool: "x" }, 1);
    expect(toHeaders(decision, { now: clock.now() })).toEqual({
      "X-RateLimit-Limit": "4",
      "X-RateLimit-Remaining": "3",
      "X-RateLimit-Reset": "1700003600",
      RateLimit: '"by_user";r=9;t=60, "by_tool";r=3;t=3600',
      "RateLimit-Policy": '"by_user";q=10;w=60, "by_tool";q=4;w=3600',
    });
  });

  it("tell of the rule with the longest wait on refusal, with Retry-After", () => {
    const decision = check({ by_user: "1/m", by_tool: { x: "1/h" } }, { user: "ann", tool: "x" }, 2);
    expect(decisive(decision)?.rule).toBe("by_tool");
    expect(toHeaders(decision, { now: clock.now() })).toMatchObject({
      "X-RateLimit-Limit": "1",
      "X-RateLimit-Remaining": "0",
      "Retry-After": "3600",
    });
  });

  it("are none when no rule applied", () => {
    expect(toHeaders(check({}, {}, 1))).toEqual({});
  });
});
