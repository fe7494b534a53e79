import { createMemoryStore, createRateLimiter, parseRate, RateLimiterError } from "@gatewright/rate-limiter";
import { describe, expect, it } from "vitest";
import { limiterOptionsSchema } from "../src/options.ts";

describe("rate syntax", () => {
  it.each([
    ["10/s", 10, 1_000],
    ["30/m", 30, 60_000],
    ["5 / MIN", 5, 60_000],
    ["100/10s", 100, 10_000],
    ["1/d", 1, 86_400_000],
    ["2/sec", 2, 1_000],
    ["2/second", 2, 1_000],
    ["2/minute", 2, 60_000],
    ["2/h", 2, 3_600_000],
    ["2/hr", 2, 3_600_000],
    ["2/HOUR", 2, 3_600_000],
    ["2/day", 2, 86_400_000],
    ["1000000/31d", 1_000_000, 31 * 86_400_000],
  ])("reads %s", (text, limit, windowMs) => {
    expect(parseRate(text)).toEqual({ limit, windowMs });
  });

  it.each(["", "10", "/s", "-1/s", "1.5/s", "10/0s", "10/s/s", "1e3/s", "10/32d", "10/week"])(
    "refuses %j with a sentence",
    (text) => {
      expect(parseRate(text)).toEqual(expect.any(String));
    },
  );

  it("RL-12 the rates 0/m, 10/x, abc and 1000001/h are refused at load with the path of the field", () => {
    for (const rate of ["0/m", "10/x", "abc", "1000001/h"]) {
      for (const [rules, path] of [
        [{ by_user: rate }, "rules.by_user"],
        [{ by_tool: { search: rate } }, "rules.by_tool.search"],
        [{ composite: { mine: { by: ["user"], rate } } }, "rules.composite.mine.rate"],
      ] as const) {
        const error = failure(() => createRateLimiter({ rules }));
        expect(error.code).toBe("validation_failed");
        expect(error.details["path"]).toBe(path);
        expect(error.message).toContain(path);
      }
      const inside = failure(() => createRateLimiter({ rules: { by_ip: { rate } } }));
      expect(inside.details["path"]).toContain("rules.by_ip");
    }
  });
});

describe("configuration", () => {
  it("has the documented defaults", () => {
    expect(limiterOptionsSchema.parse({})).toEqual({
      rules: {},
      algorithm: "fixed_window",
      failurePolicy: "open",
      timeoutMs: 250,
      breaker: { failures: 3, openMs: 1_000 },
      localMaxKeys: 100_000,
    });
    expect(createMemoryStore().stats()).toMatchObject({ maxKeys: 100_000 });
  });

  it("refuses an unknown key with its path and the nearest right one", () => {
    const top = failure(() => createRateLimiter({ algoritm: "gcra" } as never));
    expect(top.details).toEqual({ path: "algoritm", suggestion: "algorithm" });
    expect(top.message).toContain('did you mean "algorithm"');
    const inner = failure(() => createRateLimiter({ rules: { by_usr: "1/s" } } as never));
    expect(inner.details).toEqual({ path: "rules.by_usr", suggestion: "by_user" });
    const far = failure(() => createRateLimiter({ zzzzzzzz: 1 } as never));
    expect(far.details).toEqual({ path: "zzzzzzzz", suggestion: undefined });
    const deep = failure(() =>
      createRateLimiter({ rules: { composite: { mine: { by: ["user"], rate: "1/s", brst: 2 } } } } as never),
    );
    expect(deep.details).toEqual({ path: "rules.composite.mine.brst", suggestion: "burst" });
  });

  it("refuses a burst where the algorithm has none", () => {
    const error = failure(() => createRateLimiter({ rules: { by_user: { rate: "1/s", burst: 5 } } }));
    expect(error.details["path"]).toBe("rules.by_user.burst");
    const named = failure(() =>
      createRateLimiter({ algorithm: "sliding_log", rules: { by_tool: { x: { rate: "1/s", burst: 5 } } } }),
    );
    expect(named.details["path"]).toBe("rules.by_tool.x.burst");
  });

  it("refuses wrong values with their path", () => {
    expect(failure(() => createRateLimiter({ timeoutMs: 0 })).details["path"]).toBe("timeoutMs");
    expect(failure(() => createRateLimiter({ algorithm: "leaky" as never })).details["path"]).toBe(
      "algorithm",
    );
    expect(failure(() => createRateLimiter(null as never)).message).toContain("config");
    expect(
      failure(() => createRateLimiter({ rules: { composite: { by_x: { by: ["ip"], rate: "1/s" } } } }))
        .message,
    ).toContain("composite");
  });
});

function failure(run: () => unknown): RateLimiterError {
  try {
    run();
  } catch (error) {
    if (error instanceof RateLimiterError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
