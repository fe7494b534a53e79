import type { FaultsReport } from "./run-faults.ts";

/** One promise, and whether a run kept it. */
export interface Bar {
  readonly what: string;
  readonly figure: string;
  readonly bar: string;
  readonly met: boolean;
}

/** Share of the calls of a tool that succeeded, 0…1. */
export function successOf(report: FaultsReport, tool: string): number {
  const calls = report.calls.filter((call) => call.tool === tool);
  return calls.filter((call) => call.ok).length / calls.length;
}

/** What holds for every run: no repeated side effect, nothing invented, attempts within the budget. */
export function commonBars(report: FaultsReport): Bar[] {
  const writes = report.repeated.filter((key) => key.startsWith("write-")).length;
  const { attempts, allowedAttempts, missing } = report;
  return [
    { what: "unhinted calls executed twice", figure: `${writes}`, bar: "0", met: writes === 0 },
    { what: "successes that were not executed", figure: `${missing}`, bar: "0", met: missing === 0 },
    {
      what: "attempts at the server",
      figure: `${attempts}`,
      bar: `≤ ${allowedAttempts}`,
      met: attempts <= allowedAttempts,
    },
  ];
}

/** A passing disturbance: read-only calls hardly notice. */
export function disturbanceBars(report: FaultsReport): Bar[] {
  const success = successOf(report, "read");
  const figure = `${(success * 100).toFixed(2)} %`;
  return [
    ...commonBars(report),
    { what: "read-only calls that succeeded", figure, bar: "≥ 99.9 %", met: success >= 0.999 },
  ];
}

/** Refused connections: nothing was sent, so every call that met one may be repeated, unhinted ones too. */
export function refusalBars(report: FaultsReport): Bar[] {
  const network = report.retries["network"] ?? 0;
  return [
    ...disturbanceBars(report),
    { what: "repeats after lost connections", figure: `${network}`, bar: "> 0", met: network > 0 },
  ];
}

/** An outage: the budget holds the calls down, and the callers are told. */
export function outageBars(report: FaultsReport): Bar[] {
  const told = report.calls.filter((call) => call.reason === "budget_exhausted").length;
  const counted = report.giveUps["budget_exhausted"] ?? 0;
  return [
    ...commonBars(report),
    { what: "callers told budget_exhausted", figure: `${told}`, bar: "> 0", met: told > 0 },
    {
      what: "the same in /admin/limits",
      figure: `${counted}`,
      bar: `= ${told}`,
      met: counted === told,
    },
  ];
}
