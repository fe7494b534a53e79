import type { OwnerTimes } from "./chaos-fleet.ts";
import { type FaultKind, faultKinds } from "./fault-plan.ts";
import type { Verdict } from "./judge.ts";
import type { Recovery } from "./recovery.ts";

/** One thing that has to hold. */
export interface ChaosBar {
  readonly what: string;
  readonly figure: string;
  readonly bar: string;
  readonly met: boolean;
}

/** What was asked of a run. */
export interface ChaosPlan {
  readonly calls: number;
  readonly rounds: number;
  readonly owners: OwnerTimes;
}

/** What has to hold of a run. */
export function chaosBars(verdict: Verdict, { calls, rounds, owners }: ChaosPlan): ChaosBar[] {
  const none = (what: string, list: readonly unknown[]): ChaosBar => ({
    what,
    figure: String(list.length),
    bar: "0",
    met: list.length === 0,
  });
  const killed = recoveriesOf(verdict, "replica killed");
  const recoveryMs = Math.max(0, ...killed.map(({ longestMs }) => longestMs));
  const followed = killed.filter(({ clients }) => clients > 0).length;
  const barMs = owners.deadAfterMs + 1_000;
  return [
    { what: "calls", figure: String(verdict.calls), bar: `≥ ${calls}`, met: verdict.calls >= calls },
    {
      what: "killed owners whose sessions were followed",
      figure: String(followed),
      bar: `≥ ${rounds}`,
      met: followed >= rounds,
    },
    none("cross-talk", verdict.crossTalk),
    none("lost updates", verdict.lostUpdates),
    none("calls executed twice", verdict.executedTwice),
    none("sessions that silently began anew", verdict.begunAnew),
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
export function reportOf(
  verdict: Verdict & { readonly seconds: number; readonly lagMs: number },
  bars: readonly ChaosBar[],
): string {
  const { calls, ok, unknown, unknownExecuted, failed, retried, reasons, slowest, lagMs } = verdict;
  const { begunAnewByFault } = verdict;
  const perFault = faultKinds.map((kind) => {
    const recoveries = recoveriesOf(verdict, kind);
    const each = (read: (recovery: Recovery) => string) => recoveries.map(read).join(", ");
    return [
      kind,
      String(verdict.faults[kind]),
      each(({ clients }) => String(clients)),
      each(({ medianMs }) => seconds(medianMs)),
      each(({ longestMs }) => seconds(longestMs)),
    ];
  });
  const why = Object.entries(reasons).sort(([, one], [, other]) => other - one);
  return [
    `${calls} calls in ${verdict.seconds.toFixed(0)} s: ${ok} answered (${retried} of them after a refusal), ${unknown} of unknown outcome (${unknownExecuted} of them executed), ${failed} failed`,
    `slowest answer ${seconds(slowest === undefined ? 0 : slowest.endedMs - slowest.startedMs)}${slowest?.refusals.length ? ` (after ${[...new Set(slowest.refusals)].join(", ")})` : ""}; this process, with clients, balancer and upstream, was late by up to ${lagMs.toFixed(0)} ms`,
    `${begunAnewByFault} times a session went on from zero since the upstream, or its credentials, had ended the one behind it`,
    table(
      ["what", "figure", "bar", "kept"],
      bars.map(({ what, figure, bar, met }) => [what, figure, bar, met ? "yes" : "NO"]),
    ),
    table(["fault", "times", "clients", "until an answer again, median", "longest"], perFault),
    table(
      ["refusals and losses", "times"],
      why.map(([reason, times]) => [reason, String(times)]),
    ),
  ].join("\n\n");
}

function recoveriesOf({ recoveries }: Verdict, kind: FaultKind): Recovery[] {
  return recoveries.filter((recovery) => recovery.kind === kind);
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
