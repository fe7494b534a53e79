import { describe, expect, it } from "vitest";
import { parsePolicy, RetryError, type RetryPolicyInput } from "../src/index.ts";

function issuesOf(input: unknown): readonly string[] {
  try {
    parsePolicy(input as RetryPolicyInput);
  } catch (error) {
    if (RetryError.is(error) && error.code === "invalid_policy") return error.details["issues"] as string[];
  }
  throw new Error("the policy was accepted");
}

describe("parsePolicy", () => {
  it("fills the documented defaults", () => {
    const policy = parsePolicy();
    expect(policy).toMatchObject({
      maxRetries: 2,
      baseMs: 200,
      maxMs: 5_000,
      jitter: "full",
      checkTextContent: false,
      respectRetryAfter: true,
      maxRetryAfterMs: 30_000,
      minAttemptMs: 10,
      repeatUnsafe: false,
      hedge: false,
      budget: { ratio: 0.2, floorPerSecond: 10, burst: 100, maxKeys: 10_000 },
    });
    expect([policy.totalDeadlineMs, policy.attemptTimeoutMs]).toEqual([undefined, undefined]);
    expect([...policy.statuses]).toEqual([408, 429, 500, 502, 503, 504]);
    expect(Object.isFrozen(policy)).toBe(true);
  });

  it("reads a key that is present but undefined as absent", () => {
    expect(parsePolicy({ maxRetries: undefined }).maxRetries).toBe(2);
  });

  it("hands a checked policy back as it is", () => {
    const policy = parsePolicy({ maxRetries: 1 });
    expect(parsePolicy(policy)).toBe(policy);
  });

  it("expands status ranges", () => {
    const { statuses } = parsePolicy({ retryOnStatus: [408, "5xx", "420-422"] });
    expect(statuses.has(500) && statuses.has(599) && statuses.has(421) && statuses.has(408)).toBe(true);
    expect(statuses.has(423) || statuses.has(409) || statuses.has(600)).toBe(false);
    expect(statuses.size).toBe(104);
    expect([...parsePolicy({ retryOnStatus: ["504-502"] }).statuses]).toEqual([502, 503, 504]);
  });

  it.each([
    [{ maxRetires: 1 }, "maxRetires: unknown key, did you mean maxRetries?"],
    [{ maxRetrys: 1 }, "maxRetrys: unknown key, did you mean maxRetries?"],
    [{ ["x".repeat(100_000)]: 1 }, "x: unknown key"],
    [{ MAXMS: 1 }, "MAXMS: unknown key, did you mean maxMs?"],
    [{ zzz: 1 }, "zzz: unknown key"],
    [{ overrides: { "db.*": { basems: 3 } } }, "overrides.db.*.basems: unknown key, did you mean baseMs?"],
    [{ budget: { ration: 0.3 } }, "budget.ration: unknown key, did you mean ratio?"],
    [{ hedge: { delay: 3 } }, "hedge.delay: unknown key, did you mean delayMs?"],
    [{ baseMs: 500, maxMs: 400 }, "maxMs: 400 is less than baseMs 500"],
    [{ overrides: { a: { maxMs: 10 } } }, "overrides.a.maxMs: 10 is less than baseMs 200"],
  ])("refuses %j with its path", (input, issue) => {
    expect(issuesOf(input)).toContainEqual(expect.stringContaining(issue));
  });

  it.each([
    [{ maxRetries: -1 }, "maxRetries"],
    [{ maxRetries: 1.5 }, "maxRetries"],
    [{ jitter: "some" }, "jitter"],
    [{ retryOnStatus: ["6xx"] }, "retryOnStatus.0"],
    [{ retryOnStatus: [42] }, "retryOnStatus.0"],
    [{ baseMs: 0 }, "baseMs"],
    [{ baseMs: Number.NaN }, "baseMs"],
    [{ totalDeadlineMs: 0 }, "totalDeadlineMs"],
    [{ budget: { ratio: 2 } }, "budget.ratio"],
    [{ overrides: { x: { jitter: 1 } } }, "overrides.x.jitter"],
    [null, "policy"],
    ["fast", "policy"],
  ])("refuses %j naming %s", (input, path) => {
    expect(issuesOf(input).some((issue) => issue.startsWith(`${path}:`))).toBe(true);
  });

  it("clamps to the host's ceiling with a warning, overrides too", () => {
    const policy = parsePolicy(
      { maxRetries: 9, overrides: { a: { maxRetries: 4 }, b: { maxRetries: 1 } } },
      { maxToolRetries: 3 },
    );
    expect([policy, policy.for("a"), policy.for("b")].map((p) => p.maxRetries)).toEqual([3, 3, 1]);
    expect(policy.warnings).toEqual([
      "maxRetries: 9 is clamped to 3",
      "overrides.a.maxRetries: 4 is clamped to 3",
    ]);
  });

  it("chooses the exact override, then the longest glob, then the policy itself", () => {
    const policy = parsePolicy({
      overrides: {
        "*": { maxRetries: 5 },
        "db_*": { maxRetries: 1 },
        "db_read_?": { maxRetries: 4 },
        db_read: { maxRetries: 3 },
      },
    });
    const retries = (name?: string) => policy.for(name).maxRetries;
    expect(["db_read", "db_read_1", "db_write", "other"].map(retries)).toEqual([3, 4, 1, 5]);
    expect(retries(undefined)).toBe(2);
    expect(parsePolicy().for("any").maxRetries).toBe(2);
  });

  it("keeps looking up right when more names were seen than it remembers", () => {
    const policy = parsePolicy({ overrides: { "a*": { maxRetries: 7 } } });
    for (let i = 0; i < 2_500; i++) {
      expect(policy.for(`a${i}`).maxRetries).toBe(7);
      expect(policy.for(`b${i}`).maxRetries).toBe(2);
    }
  });

  it("preset contextforge repeats everything, without 408, Retry-After or budget, and can be changed", () => {
    const preset = parsePolicy({ preset: "contextforge", maxRetries: 1 });
    expect(preset).toMatchObject({
      repeatUnsafe: true,
      respectRetryAfter: false,
      budget: false,
      maxRetries: 1,
    });
    expect([...preset.statuses]).toEqual([429, 500, 502, 503, 504]);
  });
});
