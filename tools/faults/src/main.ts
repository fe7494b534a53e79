import { parseArgs } from "node:util";
import { createProgressBar, textTable } from "@gatewright/bench";
import { type Bar, disturbanceBars, outageBars, refusalBars, successOf } from "./bars.ts";
import { abortBars, runAborts } from "./run-aborts.ts";
import { type FaultsReport, runFaults } from "./run-faults.ts";

const usage = `usage: faults [options]

  --calls N        calls of each run; default 10000
  --share S        share of the attempts that fail in the first run; default 0.1
  --outage S       the same in the second run; default 0.6
  --refusals N     calls of a run in which the server refuses connections now and then; default 5000
  --aborts N       clients that go away in mid-backoff in the last; default 100000
  --concurrency N  calls at once; default 64
  --seed N         default 1
`;

const { values } = parseArgs({
  options: {
    calls: { type: "string", default: "10000" },
    share: { type: "string", default: "0.1" },
    outage: { type: "string", default: "0.6" },
    refusals: { type: "string", default: "5000" },
    aborts: { type: "string", default: "100000" },
    concurrency: { type: "string", default: "64" },
    seed: { type: "string", default: "1" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}

function numberOf(
  option: "calls" | "share" | "outage" | "refusals" | "aborts" | "concurrency" | "seed",
): number {
  const number = Number(values[option]);
  if (Number.isFinite(number) && number >= 0) return number;
  process.stderr.write(`--${option} ${values[option]} is not a number\n\n${usage}`);
  process.exit(2);
}

const progress = createProgressBar(process.stderr);
const concurrency = Math.max(1, numberOf("concurrency"));
const missed: Bar[] = [];

function print(title: string, seconds: number, bars: readonly Bar[]): void {
  progress.clear();
  const rows = bars.map(({ what, figure, bar, met }) => [what, figure, bar, met ? "yes" : "NO"]);
  process.stdout.write(`${title}, ${seconds.toFixed(1)} s\n\n`);
  process.stdout.write(`${textTable(["what", "figure", "bar", "kept"], rows)}\n\n`);
  missed.push(...bars.filter((bar) => !bar.met));
}

function printTools(report: FaultsReport): void {
  const rows = ["read", "put", "remove", "write"].map((tool) => {
    const calls = report.calls.filter((call) => call.tool === tool);
    const failed = Map.groupBy(
      calls.filter((call) => !call.ok),
      (call) => call.reason ?? call.code ?? "unknown",
    );
    const reasons = [...failed].map(([reason, list]) => `${reason} ${list.length}`).join(", ");
    const success = `${(successOf(report, tool) * 100).toFixed(2)} %`;
    return [tool, `${calls.length}`, success, reasons];
  });
  process.stdout.write(`${textTable(["tool", "calls", "succeeded", "failed by reason"], rows)}\n\n`);
}

async function faults(label: string, share: number, bars: (report: FaultsReport) => Bar[]): Promise<void> {
  const calls = numberOf("calls");
  if (calls === 0) return;
  const onProgress = (ratio: number) => progress.update(label, ratio);
  const report = await runFaults({ calls, share, concurrency, seed: numberOf("seed"), onProgress });
  print(`${label}: ${calls} calls, ${share * 100} % of the attempts fail`, report.seconds, bars(report));
  printTools(report);
}

await faults("disturbance", numberOf("share"), disturbanceBars);
await faults("outage", numberOf("outage"), outageBars);
const refusals = numberOf("refusals");
if (refusals > 0) {
  const onProgress = (ratio: number) => progress.update("refusals", ratio);
  const options = { calls: refusals, share: 0, concurrency: 8, seed: numberOf("seed"), refuseEvery: 100 };
  const report = await runFaults({ ...options, onProgress });
  const title = `refusals: ${refusals} calls, connections are refused ${report.refusals} times`;
  print(title, report.seconds, refusalBars(report));
  printTools(report);
}
const aborts = numberOf("aborts");
if (aborts > 0) {
  const onProgress = (ratio: number) => progress.update("aborts", ratio);
  const report = await runAborts({ calls: aborts, concurrency, onProgress });
  print(`aborts: ${aborts} clients go away in mid-backoff`, report.seconds, abortBars(report));
}
if (missed.length > 0) {
  process.stderr.write(`${missed.length} missed: ${missed.map((bar) => bar.what).join(", ")}\n`);
  process.exit(1);
}
