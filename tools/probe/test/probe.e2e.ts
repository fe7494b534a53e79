import { describe, expect, it } from "vitest";
import { type ProbeOptions, readOptions, UsageError } from "../src/probe-options.ts";
import { summaryOf, svgReport, textReport } from "../src/report.ts";
import { runProbe } from "../src/run-probe.ts";

const small: ProbeOptions = {
  replicas: 1,
  workers: 3,
  via: "http",
  pollMs: 250,
  maxConvergenceMs: 30_000,
  calls: 2_000,
  holdMs: 400,
  concurrency: 12,
  suppressPublish: false,
  pauseReplica: false,
  restartRedis: false,
  startAtOnce: 3,
};

describe("the toggle probe over three gateways", () => {
  it("finds every switch converged and not one stale decision in 2 000 calls", async () => {
    const result = await runProbe(small, () => undefined);
    const summary = summaryOf(result);
    expect(summary).toMatchObject({ stale: 0, staleAfterLease: 0, failed: 0, degraded: 0, converged: true });
    expect(summary.calls).toBeGreaterThanOrEqual(2_000);
    expect(summary.judged).toBeGreaterThan(summary.calls / 2);
    expect(result.switches.length % 6).toBe(0);
    expect(result.switches.every(({ report }) => report.acked.length === 3)).toBe(true);
    // The probe sees both modes at work: else it could not tell a stale decision.
    const rulings = new Set(result.calls.map(({ ruling }) => ruling));
    expect([...rulings].sort()).toEqual(["charged", "free", "limited"]);
    const text = textReport(result);
    expect(text).toContain("enforce → disabled");
    expect(text).toContain("stale: 0");
    expect(svgReport(result)).toContain("</svg>");
  }, 120_000);

  it("the same over the bus, without PUBLISH, with a frozen process and a Redis that loses everything", async () => {
    const result = await runProbe(
      { ...small, via: "bus", suppressPublish: true, pauseReplica: true, restartRedis: true, calls: 1 },
      () => undefined,
    );
    expect(summaryOf(result)).toMatchObject({ stale: 0, staleAfterLease: 0, failed: 0, converged: true });
    const [first] = result.switches;
    expect(first?.attempts).toBeGreaterThan(1);
    // The probe itself is a member.
    expect(result.switches.at(-1)?.report.acked).toHaveLength(4);
  }, 120_000);
});

describe("the command line of the probe", () => {
  it("reads durations and refuses what it does not know", () => {
    expect(readOptions(["--workers", "24", "--poll", "500ms", "--max-convergence", "1.5s"])).toMatchObject({
      replicas: 3,
      workers: 24,
      pollMs: 500,
      maxConvergenceMs: 1_500,
    });
    expect(readOptions(["--help"])).toBeUndefined();
    for (const args of [
      ["--pol", "1s"],
      ["--poll", "soon"],
      ["--via", "pigeon"],
      ["--workers", "0"],
    ]) {
      expect(() => readOptions(args)).toThrow(UsageError);
    }
  });
});
