import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readOptions, USAGE, UsageError } from "./probe-options.ts";
import { summaryOf, svgReport, textReport } from "./report.ts";
import { runProbe } from "./run-probe.ts";

try {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  const show = (label: string, ratio: number) => {
    const line = `${String(Math.round(ratio * 100)).padStart(3)} %  ${label}`;
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`);
    else process.stderr.write(`${line}\n`);
  };
  const result = await runProbe(options, show);
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  const base = join(options.out, `toggle-${options.replicas}x${options.workers}-${options.via}`);
  mkdirSync(options.out, { recursive: true });
  writeFileSync(`${base}.svg`, svgReport(result));
  const { switches, looks } = result;
  writeFileSync(
    `${base}.json`,
    `${JSON.stringify({ options, summary: summaryOf(result), switches, looks }, null, 1)}\n`,
  );
  process.stdout.write(`${textReport(result)}\n\n${base}.svg\n${base}.json\n`);
  process.exit(summaryOf(result).converged ? 0 : 1);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\n\n${USAGE}`);
  process.exit(2);
}
