import { describe, it } from "vitest";
import { runConformance, startEverythingServer } from "../src/index.ts";

/** The suite takes a few seconds per revision; most of it is its own waiting on streams. */
const SUITE_MS = 60_000;

describe.concurrent("public conformance suite, directly against the everything server", () => {
  it(
    "passes all 30 scenarios that 2025-11-25 requires",
    async ({ expect }) => {
      await using dual = await startEverythingServer();
      const report = await runConformance({ url: dual.url, requirements: "2025-11-25" });
      expect(report.failed, report.output).toEqual([]);
      expect({ passed: report.passed, exitCode: report.exitCode }).toEqual({ passed: 30, exitCode: 0 });
    },
    SUITE_MS,
  );

  it(
    "passes all 37 scenarios that 2026-07-28 requires",
    async ({ expect }) => {
      await using dual = await startEverythingServer();
      const report = await runConformance({ url: dual.url, requirements: "2026-07-28" });
      expect(report.failed, report.output).toEqual([]);
      expect({ passed: report.passed, exitCode: report.exitCode }).toEqual({ passed: 37, exitCode: 0 });
    },
    SUITE_MS,
  );

  it(
    "passes the same when it speaks one era only, and fails the other's",
    async ({ expect }) => {
      await using legacy = await startEverythingServer({ era: "legacy" });
      await using modern = await startEverythingServer({ era: "modern" });
      const [asLegacy, asModern, wrong] = await Promise.all([
        runConformance({ url: legacy.url, requirements: "2025-11-25" }),
        runConformance({ url: modern.url, requirements: "2026-07-28" }),
        runConformance({ url: modern.url, requirements: "2025-11-25" }),
      ]);
      expect([asLegacy.passed, asModern.passed]).toEqual([30, 37]);
      expect(wrong.exitCode).toBe(1);
      expect(wrong.failed).toContain("server-initialize");
    },
    SUITE_MS,
  );
});
