import type { CaseResult } from "./case-reporter.ts";

/** The thirteen cases of the plan, in its order, with the fault of each. */
export const cases: Readonly<Record<string, string>> = {
  "CL-01": "server stopped, started",
  "CL-02": "blackhole, both ways",
  "CL-03": "sessions terminated",
  "CL-04": "+200 ms, +2 s, +10 s, 1 KB/s",
  "CP-01": "20 and 200 on 15 slots",
  "CP-02": "restart behind a full pool",
  "CP-03": "outage under 50 rps",
  "FO-01": "standby promoted",
  "FO-02": "replay paused",
  "FO-03": "old primary back",
  "TX-01": "opposed updates",
  "TX-02": "statement over its time",
  "TX-03": "cut between writes, at COMMIT",
};

/** A table of the cases: how many tests of each passed at both levels, and what was measured through the gateway. */
export function caseTable(
  results: readonly CaseResult[],
  figures: readonly { readonly test: string; readonly what: string; readonly value: number }[],
): string {
  const rows = Object.entries(cases).map(([id, fault]) => {
    const of = (level: CaseResult["level"]) => {
      const all = results.filter((result) => result.id === id && result.level === level);
      return all.length === 0 ? "-" : `${all.filter(({ passed }) => passed).length}/${all.length}`;
    };
    const own = results.filter((result) => result.id === id);
    const seconds = own.reduce((sum, result) => sum + result.seconds, 0);
    const held = own.length === 0 ? "-" : own.every(({ passed }) => passed) ? "yes" : "NO";
    const measured = figures
      .filter(({ test }) => test.includes(id))
      .map(({ what, value }) => `${what} ${Math.round(value)}`);
    return [id, fault, of("package"), of("gateway"), seconds.toFixed(1), held, measured.join(", ")];
  });
  const head = ["case", "fault", "package", "gateway", "s", "held", "measured through the gateway"];
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}
