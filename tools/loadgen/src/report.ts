import { arch, cpus, platform, totalmem } from "node:os";
import type { Check, Scale } from "./plan.ts";
import type { RunResult } from "./run-plan.ts";
import { textTable } from "./text-table.ts";

/** How a profile ended: `void` says that the generator, not the gateway, was too slow to tell. */
export type Verdict = "passed" | "failed" | "void";

/** Everything that one profile came to; what is written as JSON. */
export interface ProfileReport {
  readonly profile: string;
  readonly title: string;
  readonly scale: Scale;
  readonly front: string;
  readonly startedAt: string;
  readonly machine: string;
  readonly pinning: string;
  readonly verdict: Verdict;
  readonly checks: readonly Check[];
  /** The measured target last; the baselines before it. */
  readonly runs: readonly RunResult[];
}

const MIB = 1024 * 1024;

/** This machine, in a few words. */
export const describeMachine = (): string =>
  `${platform()} ${arch()}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}, ` +
  `${Math.round(totalmem() / MIB / 1024)} GB, node ${process.versions.node}`;

const fixed = (value: number | undefined, digits: number): string =>
  value === undefined ? "n/a" : value.toFixed(digits);

const meanOf = (values: readonly (number | undefined)[]): number | undefined => {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0) / known.length;
};

/** CPU (% of a core) and memory (MB) of the measured process between two seconds of a run. */
export const usageBetween = ({ perSecond }: RunResult, fromSecond: number, toSecond: number) => {
  const rows = perSecond.filter(({ second }) => second > fromSecond && second <= toSecond);
  return {
    cpuPercent: meanOf(rows.map((row) => row.cpuPercent)),
    rssMb: meanOf(rows.map((row) => row.rssMb)),
  };
};

const runRow = (run: RunResult): string[] => {
  const { latency } = run;
  return [
    run.target + (run.isVoid ? " (void)" : ""),
    run.achievedRps.toFixed(1),
    fixed(latency.p50, 2),
    fixed(latency.p95, 2),
    fixed(latency.p99, 2),
    fixed(latency.max, 1),
    String(run.outcomes["shed"] ?? 0),
    String(run.offered - run.ok - (run.outcomes["shed"] ?? 0)),
    fixed(run.cpuMicrosPerCall, 1),
    fixed(run.generator.lag.p99, 2),
  ];
};

const RUN_HEADER = [
  "target",
  "ok/s",
  "p50 ms",
  "p95 ms",
  "p99 ms",
  "max ms",
  "shed",
  "errors",
  "CPU µs",
  "lag p99",
];

const segmentTable = (run: RunResult): string =>
  textTable(
    ["seconds", "offered/s", "ok/s", "p50 ms", "p95 ms", "p99 ms", "shed", "errors", "CPU %", "MB"],
    run.segments.map((segment) => {
      const seconds = segment.toSecond - segment.fromSecond;
      const { cpuPercent, rssMb } = usageBetween(run, segment.fromSecond, segment.toSecond);
      return [
        `${segment.fromSecond.toFixed(0)}–${segment.toSecond.toFixed(0)}`,
        (segment.offered / seconds).toFixed(0),
        (segment.ok / seconds).toFixed(0),
        segment.latency.p50.toFixed(2),
        segment.latency.p95.toFixed(2),
        segment.latency.p99.toFixed(2),
        String(segment.shed),
        String(segment.errors),
        fixed(cpuPercent, 0),
        fixed(rssMb, 0),
      ];
    }),
  );

/** The checks as a table. */
export const checkTable = (checks: readonly Check[]): string =>
  textTable(
    ["must hold", "measured", "bound", ""],
    checks.map(({ what, measured, bound, ok }) => [what, measured, bound, ok ? "ok" : "MISSED"]),
  );

/** What a person reads at the end of a profile. */
export function summary(report: ProfileReport): string {
  const measured = report.runs.at(-1);
  const other = Object.entries(measured?.outcomes ?? {}).filter(([name]) => name !== "ok");
  return [
    `${report.title} (${report.scale}, ${report.front} clients): ${report.verdict.toUpperCase()}`,
    `${report.machine}; ${report.pinning}`,
    "",
    textTable(RUN_HEADER, report.runs.map(runRow)),
    "",
    ...(measured === undefined ? [] : [segmentTable(measured), ""]),
    ...(other.length === 0
      ? []
      : [`other outcomes: ${other.map(([name, n]) => `${name} ${n}`).join(", ")}`, ""]),
    checkTable(report.checks),
    "",
  ].join("\n");
}
