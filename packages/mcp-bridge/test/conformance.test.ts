import { failedChecks, runConformance, startEverythingServer } from "@gatewright/mcp-fixtures";
import { describe, expect, it } from "vitest";
import { startMiniGateway } from "./support/mini-gateway.ts";

// Slow: the public suite starts a process and runs 30 or 37 scenarios in each case.
describe("the public conformance suite through the smallest gateway", () => {
  // The one that cannot pass: a legacy server refuses by itself what the client did not declare, so nobody is left
  // to answer with the stateless revision's own error number.
  const untranslatable = [
    "server-stateless:sep-2575-missing-capability-http-400",
    "server-stateless:sep-2575-server-rejects-undeclared-capability",
  ];

  it.each([
    { front: "2025-11-25", era: "legacy", scenarios: 30, failed: [] },
    { front: "2026-07-28", era: "modern", scenarios: 37, failed: [] },
    { front: "2025-11-25", era: "modern", scenarios: 30, failed: [] },
    { front: "2026-07-28", era: "legacy", scenarios: 37, failed: untranslatable },
  ] as const)(
    "$front in front, a $era server behind",
    async ({ front, era, scenarios, failed }) => {
      await using server = await startEverythingServer({ era });
      await using gateway = await startMiniGateway(server.url);
      const report = await runConformance({ url: gateway.url, requirements: front });
      expect(failedChecks(report.checks).sort(), report.output).toEqual(failed);
      expect(report.passed).toBe(scenarios - new Set(failed.map((check) => check.split(":")[0])).size);
      expect(report.scored).toHaveLength(scenarios);
    },
    60_000,
  );
});
