import { type McpProbeAnswer, mcpProbes } from "@gatewright/session-pool";
import { describe, expect, it } from "vitest";

const signal = AbortSignal.timeout(1000);
const probesOf = (answer: McpProbeAnswer, asked: string[] = []) =>
  mcpProbes<"legacy" | "modern">({
    eraOf: (session) => session,
    ask: async (_, method) => {
      asked.push(method);
      return answer;
    },
  });

describe("probes for MCP", () => {
  it("fit the protocol era", async () => {
    const asked: string[] = [];
    const probes = probesOf({ kind: "result" }, asked);
    for (const era of ["legacy", "modern"] as const) {
      for (const probe of probes(era)) expect(await probe.run(era, { signal })).toBe("ok");
    }
    expect(asked).toEqual(["ping", "tools/list", "server/discover", "tools/list"]);
  });

  it("take method not found for unsupported and any other error for the end", async () => {
    for (const [rpcCode, verdict] of [
      [-32601, "unsupported"],
      [-32603, "terminal"],
    ] as const) {
      const [first] = probesOf({ kind: "error", rpcCode })("legacy");
      expect(await first?.run("legacy", { signal })).toBe(verdict);
    }
  });
});
