import { describe, expect, it } from "vitest";
import { htmlReport } from "../src/html-report.ts";
import { linePlot } from "../src/line-plot.ts";
import { createProgressBar } from "../src/progress-bar.ts";
import { describeMachine, type ProfileReport, summary } from "../src/report.ts";
import type { RunResult } from "../src/run-plan.ts";
import { textTable } from "../src/text-table.ts";

const latency = { count: 9, mean: 2, p50: 1.5, p90: 2, p95: 3.25, p99: 4, p999: 5, max: 6 };
const run: RunResult = {
  target: "gateway",
  kind: "open",
  seconds: 2,
  offered: 10,
  ok: 9,
  outcomes: { ok: 9, http_500: 1 },
  achievedRps: 4.5,
  latency,
  curve: Array.from({ length: 14 }, (_, index) => index + 1),
  generator: { lag: latency, dropped: 0, late: 0, unanswered: 0, maxInFlight: 2 },
  isVoid: false,
  cpuMicrosPerCall: 123.4,
  perSecond: [1, 2].map((second) => ({
    second,
    ok: 4,
    shed: 0,
    errors: second - 1,
    p50: 1,
    p95: 3,
    p99: 4,
    cpuPercent: 12,
    rssMb: 80,
  })),
  segments: [{ fromSecond: 0, toSecond: 2, offered: 10, ok: 9, shed: 0, errors: 1, latency }],
  answeredByUser: [9],
};
const report: ProfileReport = {
  profile: "perf-01",
  title: "PERF-01: <few> calls",
  scale: "smoke",
  front: "legacy",
  startedAt: "2026-11-20T12:00:00.000Z",
  machine: describeMachine(),
  pinning: "not pinned",
  verdict: "failed",
  checks: [{ what: "errors", measured: "1 of 10", bound: "0", ok: false }],
  runs: [run],
};

describe("reports", () => {
  it("lay columns out under each other", () => {
    expect(
      textTable(
        ["name", "n"],
        [
          ["a", "1"],
          ["long name", "1000"],
        ],
      ),
    ).toBe(["name          n", "─────────  ────", "a             1", "long name  1000"].join("\n"));
  });

  it("tell figures, stretches, other outcomes and what was missed", () => {
    const text = summary(report);
    expect(text).toMatch(/FAILED/);
    expect(text).toMatch(/gateway +4\.5 +1\.50 +3\.25 +4\.00/);
    expect(text).toMatch(/0–2 +5 +5/);
    expect(text).toMatch(/http_500 1/);
    expect(text).toMatch(/errors +1 of 10 +0 +MISSED/);
  });

  it("make a page that loads nothing and escapes what it is given", () => {
    const page = htmlReport(report);
    expect(page).toContain("PERF-01: &lt;few&gt; calls");
    expect(page.match(/<svg/g)).toHaveLength(5);
    expect(page).not.toMatch(/<script|<link|src=|href=|https?:\/\//);
  });

  it("plot on a linear and on a logarithmic axis, with gaps where nothing is known", () => {
    const points = [
      { x: 0, y: 1 },
      { x: 1, y: undefined },
      { x: 2, y: 100 },
    ];
    const plot = { title: "t", xLabel: "s", yLabel: "ms", lines: [{ label: "l", points }] };
    for (const yScale of ["linear", "log"] as const) {
      const svg = linePlot({ ...plot, yScale });
      expect(svg).not.toMatch(/NaN|Infinity/);
      expect(svg.match(/d="M[^L"]*M[^L"]*"/)).not.toBeNull();
    }
    expect(linePlot({ ...plot, lines: [] })).not.toMatch(/NaN|Infinity/);
  });

  it("draw a bar on a terminal and nothing elsewhere", () => {
    const written: string[] = [];
    const write = (text: string) => written.push(text) > 0;
    createProgressBar({ isTTY: false as true, write: write as never }).update("perf", 0.5);
    expect(written).toEqual([]);
    const bar = createProgressBar({ isTTY: true, write: write as never });
    bar.update("perf", 0.5);
    bar.clear();
    expect(written[0]).toContain(`${"█".repeat(16)}${"░".repeat(16)}  50 %  perf`);
    expect(written).toHaveLength(2);
  });
});
