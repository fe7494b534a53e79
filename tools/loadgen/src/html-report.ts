import { type Line, linePlot } from "./line-plot.ts";
import type { SecondRow } from "./recorder.ts";
import { type ProfileReport, summary } from "./report.ts";
import { CURVE_PERCENTILES, type RunResult } from "./run-plan.ts";

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1a1a1a; }
pre { background: #f5f5f4; padding: 1rem; overflow-x: auto; font-size: 13px; line-height: 1.35; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; margin: 1rem 0; }
.title { font-weight: 600; font-size: 13px; } .grid { stroke: #e0e0de; } .line { fill: none; stroke-width: 1.5; }
.x { text-anchor: middle; fill: #555; } .y { text-anchor: end; } .unit { fill: #555; }
`;

const escapeText = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const line = (run: RunResult, label: string, pick: (row: SecondRow) => number | undefined): Line => ({
  label,
  points: run.perSecond.map((row) => ({ x: row.second, y: pick(row) })),
});

/** A percentile's place on an axis that gives each further nine the same room. */
const nines = (percentile: number): number => (percentile >= 100 ? 4.3 : -Math.log10(1 - percentile / 100));

const CURVE_TICKS = [0, 50, 90, 99, 99.9, 99.99].map((percentile) => ({
  at: nines(percentile),
  label: `${percentile} %`,
}));

function plots(report: ProfileReport): readonly string[] {
  const measured = report.runs.at(-1);
  if (measured === undefined) return [];
  return [
    linePlot({
      title: "Latency over time",
      xLabel: "seconds",
      yLabel: "ms",
      yScale: "log",
      lines: [
        line(measured, "p50", (row) => row.p50),
        line(measured, "p95", (row) => row.p95),
        line(measured, "p99", (row) => row.p99),
      ],
    }),
    linePlot({
      title: "Latency by percentile",
      xLabel: "percentile",
      yLabel: "ms",
      yScale: "log",
      xTicks: CURVE_TICKS,
      lines: report.runs.map((run) => ({
        label: run.target,
        points: run.curve.map((y, index) => ({ x: nines(CURVE_PERCENTILES[index] ?? 100), y })),
      })),
    }),
    linePlot({
      title: "Calls per second",
      xLabel: "seconds",
      yLabel: "calls/s",
      lines: [
        line(measured, "ok", (row) => row.ok),
        line(measured, "shed", (row) => row.shed),
        line(measured, "errors", (row) => row.errors),
      ],
    }),
    linePlot({
      title: `CPU of the ${measured.target}`,
      xLabel: "seconds",
      yLabel: "% of a core",
      lines: [line(measured, "CPU", (row) => row.cpuPercent)],
    }),
    linePlot({
      title: `Memory of the ${measured.target} (RSS)`,
      xLabel: "seconds",
      yLabel: "MB",
      lines: [line(measured, "RSS", (row) => row.rssMb)],
    }),
  ];
}

/** One page with the tables and the plots; it loads nothing. */
export function htmlReport(report: ProfileReport): string {
  return [
    "<!doctype html>",
    '<html lang="en"><head><meta charset="utf-8">',
    `<title>${escapeText(report.title)}</title>`,
    `<style>${STYLE}</style></head><body>`,
    `<h1>${escapeText(report.title)}</h1>`,
    `<p>${escapeText(report.startedAt)}</p>`,
    `<pre>${escapeText(summary(report))}</pre>`,
    ...plots(report),
    "</body></html>",
    "",
  ].join("\n");
}
