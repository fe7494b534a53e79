import { describe, expect, it } from "vitest";
import { optionsOf, profiles } from "../../../deploy/k6/profiles.js";
import type { Load } from "../src/plan.ts";
import { PROFILES } from "../src/profiles.ts";
import type { RunResult } from "../src/run-plan.ts";

interface K6Profile {
  readonly load: Readonly<Record<"ci" | "full", unknown>>;
  readonly limits: Readonly<Record<string, number>>;
}

/** A run of which only its bounds matter. */
const anyRun = {
  latency: { p50: 1, p95: 1, p99: 1 },
  offered: 1,
  ok: 1,
  achievedRps: 1,
  segments: [],
  perSecond: [],
  answeredByUser: [1],
} as unknown as RunResult;

const shapeOf = (load: Load) => {
  if (load.kind === "closed") return { concurrency: load.concurrency, seconds: load.seconds };
  return load.stages.map(({ fromRps, toRps, seconds }) => {
    expect(toRps).toBe(fromRps);
    return { rps: fromRps, seconds };
  });
};

/** The bounds of latency and errors that a profile's checks name. */
function limitsOf(checks: readonly { readonly what: string; readonly bound: string }[]) {
  const bounds = checks.flatMap(({ what, bound }): [string, number][] => {
    const percentile = /^(p\d\d) latency$/.exec(what)?.[1];
    if (percentile !== undefined) return [[percentile, Number(/\d+/.exec(bound)?.[0])]];
    return what === "errors" ? [["errors", bound === "0" ? 0 : Number.parseFloat(bound.slice(2)) / 100]] : [];
  });
  return Object.fromEntries(bounds);
}

describe("the profiles for k6", () => {
  it("are those of this command", () => {
    expect(Object.keys(profiles)).toEqual(PROFILES.map(({ name }) => name));
  });

  it.each(PROFILES)("$name has the same calls, load and bounds", ({ name, plan }) => {
    const profile = (profiles as Readonly<Record<string, K6Profile>>)[name];
    for (const scale of ["ci", "full"] as const) {
      const { tool, args, users, sessions, load } = plan(scale);
      expect(profile).toMatchObject({ tool, args, users, sessions });
      expect(profile?.load[scale]).toEqual(shapeOf(load));
    }
    // The knee of a ramp is looked for, not bounded.
    if (name !== "perf-03") expect(profile?.limits).toEqual(limitsOf(plan("ci").checks(anyRun)));
  });

  it("are told to k6 as arrivals that wait for nobody, and as callers that wait for their answers", () => {
    expect(optionsOf(profiles["perf-02"], "ci")).toMatchObject({
      scenarios: {
        calls: {
          executor: "ramping-arrival-rate",
          startRate: 1_000,
          stages: [
            { target: 1_000, duration: "0s" },
            { target: 1_000, duration: "120s" },
          ],
        },
      },
      thresholds: {
        "http_req_duration{kind:call}": ["p(95)<200", "p(99)<500"],
        "checks{kind:call}": ["rate>0.999"],
        dropped_iterations: ["rate<1"],
      },
    });
    expect(optionsOf(profiles["perf-07"], "ci")).toMatchObject({
      scenarios: { calls: { executor: "constant-vus", vus: 100, duration: "60s" } },
      thresholds: { "checks{kind:call}": ["rate==1"], dropped_iterations: ["count==0"] },
    });
  });
});
