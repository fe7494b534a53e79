import type { OwnerTimes } from "./chaos-fleet.ts";
import { faultKinds } from "./fault-plan.ts";
import type { Verdict } from "./judge.ts";

/** One thing that has to hold. */
export interface ChaosBar {
  readonly what: string;
  readonly figure: string;
  readonly bar: string;
  readonly met: boolean;
}

/** What has to hold of a run. */
export function chaosBars(verdict: Verdict, owners: OwnerTimes): ChaosBar[] {
  const none = (what: string, list: readonly unknown[]): ChaosBar => ({
    what,
    figure: String(list.length),
    bar: "0",
    met: list.length === 0,
  });
  const recoveryMs = verdict.recoveryMs["replica killed"];
  const barMs = owners.deadAfterMs + 1_000;
  return [
    none("cross-talk", verdict.crossTalk),
    none("lost updates", verdict.lostUpdates),
    none("calls executed twice", verdict.executedTwice),
    none("stuck sessions", verdict.stuck),
    {
      what: "recovery of a killed owner's sessions",
      figure: seconds(recoveryMs),
      bar: `${seconds(barMs)} (dead after ${seconds(owners.deadAfterMs)}, and 1 s)`,
      met: recoveryMs <= barMs,
    },
  ];
}

/** The run as tables in Markdown. */
export function reportOf(verdict: Verdict & { readonly seconds: number }, bars: readonly ChaosBar[]): string {
  const { calls, ok, unknown, unknownExecuted, failed, retried, reasons } = verdict;
  const perFault = faultKinds.map((kind) => [
    kind,
    String(verdict.faults[kind]),
    seconds(verdict.recoveryMs[kind]),
  ]);
  const why = Object.entries(reasons).sort(([, one], [, other]) => other - one);
  return [
    `${calls} calls in ${verdict.seconds.toFixed(0)} s: ${ok} answered (${retried} of them after a refusal), ${unknown} of unknown outcome (${unknownExecuted} of them executed), ${failed} failed`,
    table(
      ["what", "figure", "bar", "kept"],
      bars.map(({ what, figure, bar, met }) => [what, figure, bar, met ? "yes" : "NO"]),
    ),
    table(["fault", "times", "longest until answers again"], perFault),
    table(
      ["refusals and losses", "times"],
      why.map(([reason, times]) => [reason, String(times)]),
    ),
  ].join("\n\n");
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(1)} s`;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [
    line(header),
    `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`,
    ...rows.map(line),
  ].join("\n");
}
