import {
  checkDifferences,
  conformanceCases,
  failedChecks,
  runConformance,
  startEverythingServer,
} from "@gatewright/mcp-fixtures";
import { describe, expect, it } from "vitest";
import { startTestGateway } from "./support/test-gateway.ts";

/** Whether several answers at once come as streams or as JSON, which every server may choose: the gateway by what is there. */
const choice = "server-sse-multiple-streams:server-sse-streams-functional:";

// Slow: the public suite starts a process and runs 30 or 37 scenarios in each case.
describe("the public conformance suite through the gateway", () => {
  it.each(conformanceCases)(
    "$front in front, a $era server behind ($way)",
    async ({ front, era, way, scenarios, failed, failedChecks: expected, expectedFailures }) => {
      await using server = await startEverythingServer({ era });
      await using gateway = await startTestGateway({
        auth: { required: false },
        mcpServers: { everything: { url: server.url } },
      });
      await gateway.core.refresher.ready();
      // Of its own, as the suite changes what a server has.
      await using other = await startEverythingServer({ era });
      const url = `${gateway.url}/servers/${await gateway.idOf("everything")}/mcp`;
      const options = { url, requirements: front, ...(expectedFailures && { expectedFailures }) };
      const [report, direct] = await Promise.all([
        runConformance(options),
        way === "through" ? runConformance({ url: other.url, requirements: front }) : undefined,
      ]);
      expect(report.failed, report.output).toEqual(failed);
      expect(report.scored).toHaveLength(scenarios);
      // The suite's own verdict: nothing failed that its file does not name, and nothing named there passed.
      expect(report.exitCode, report.output).toBe(0);
      expect(failedChecks(report.checks).sort()).toEqual([...expected].sort());
      if (direct === undefined) return;
      expect(direct.checks.size).toBeGreaterThan(scenarios);
      const differing = checkDifferences(direct.checks, report.checks);
      expect(differing.filter((line) => !line.startsWith(choice))).toEqual([]);
    },
    120_000,
  );
});
