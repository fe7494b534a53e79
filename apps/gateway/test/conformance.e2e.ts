import { runConformance, startEverythingServer } from "@gatewright/mcp-fixtures";
import { describe, expect, it } from "vitest";
import { startTestGateway } from "./support/test-gateway.ts";

// Slow: the public suite starts a process and runs 30 or 37 scenarios in each case.
describe("the public conformance suite through the gateway", () => {
  it.each([
    { front: "2025-11-25", era: "dual", scenarios: 30, failed: [] },
    { front: "2026-07-28", era: "dual", scenarios: 37, failed: [] },
    { front: "2025-11-25", era: "modern", scenarios: 30, failed: [] },
    { front: "2026-07-28", era: "legacy", scenarios: 37, failed: ["server-stateless"] },
  ] as const)(
    "$front in front, a $era server behind",
    async ({ front, era, scenarios, failed }) => {
      await using server = await startEverythingServer({ era });
      await using gateway = await startTestGateway({
        auth: { required: false },
        mcpServers: { everything: { url: server.url } },
      });
      await gateway.core.refresher.ready();
      const url = `${gateway.url}/servers/${await gateway.idOf("everything")}/mcp`;
      const report = await runConformance({ url, requirements: front });
      expect(report.failed, report.output).toEqual(failed);
      expect(report.scored).toHaveLength(scenarios);
    },
    90_000,
  );
});
