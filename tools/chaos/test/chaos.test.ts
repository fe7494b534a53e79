import { expect, it } from "vitest";
import { chaosBars, reportOf } from "../src/report.ts";
import { runChaos } from "../src/run-chaos.ts";

// Slow: three gateways start as processes, and a killed one has to count as dead.
it("every fault once: no cross-talk, no lost update, no call executed twice, no stuck session", {
  timeout: 240_000,
}, async () => {
  const owners = { heartbeatMs: 500, deadAfterMs: 2_000, silenceMs: 2_000 };
  const labels: string[] = [];
  const verdict = await runChaos({
    clients: 12,
    replicas: 3,
    seconds: 15,
    calls: 300,
    rounds: 1,
    owners,
    holdMs: 3_000,
    onProgress: (label) => labels.push(label),
  });
  const bars = chaosBars(verdict, owners);
  const counts = bars.filter(({ bar }) => bar === "0");
  expect(counts.filter(({ met }) => !met)).toEqual([]);
  expect(counts).toHaveLength(4);
  // How long recovery takes is measured by the command: here the machine may be busy.
  expect(Object.values(verdict.faults)).toEqual([1, 1, 1, 1]);
  expect(verdict.ok).toBeGreaterThan(200);
  expect(labels).toHaveLength(5);
  expect(reportOf(verdict, bars)).toContain("| calls executed twice ");
});
