import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { cases } from "./case-table.ts";

const usage = `usage: resilience [--cases ID,…] [--level package|gateway] [--short]

Runs the thirteen cases of the resilience plan on real PostgreSQL: at the package, and black-box through two gateways.
Ends with code 0 when every test of the chosen cases has passed, with 1 when one has not, with 2 for wrong options.

  --cases IDS  only these cases, e.g. --cases CL-01,FO-01
  --level L    only at this level
  --short      with the times of the test run instead of those of production
`;

const { values } = parseArgs({
  options: {
    cases: { type: "string", multiple: true, default: [] },
    level: { type: "string" },
    short: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const levels = {
  package: ["db-resilience", "test/case-"],
  gateway: ["gateway", "test/resilience/"],
} as const;
const { level } = values;
if (level !== undefined && !Object.hasOwn(levels, level)) {
  process.stderr.write(`--level ${level} is neither package nor gateway\n\n${usage}`);
  process.exit(2);
}
const only = values.cases.flatMap((list) => list.split(",")).map((id) => id.trim().toUpperCase());
const unknown = only.filter((id) => !Object.hasOwn(cases, id));
if (unknown.length > 0) {
  const known = Object.keys(cases).join(", ");
  process.stderr.write(`--cases ${unknown.join(", ")}: known are ${known}\n\n${usage}`);
  process.exit(2);
}
const chosen = Object.entries(levels).filter(([name]) => level === undefined || name === level);
const folder = mkdtempSync(join(tmpdir(), "gatewright-resilience-"));
const args = [
  "run",
  ...chosen.flatMap(([, [project]]) => ["--project", project]),
  ...chosen.map(([, [, files]]) => files),
  // One file at a time: what is measured is the replicas, not each other.
  ...["--maxWorkers=1", "--testTimeout=180000", "--hookTimeout=180000"],
  `--reporter=${join(import.meta.dirname, "case-reporter.ts")}`,
  ...(only.length === 0 ? [] : ["--testNamePattern", only.join("|")]),
];
const child = spawn("vitest", args, {
  cwd: join(import.meta.dirname, "../../.."),
  stdio: "inherit",
  env: {
    ...process.env,
    GATEWRIGHT_RESILIENCE: values.short ? "short" : "long",
    GATEWRIGHT_RESILIENCE_FIGURES: join(folder, "figures"),
  },
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => child.kill(signal));
child.once("exit", (code) => {
  rmSync(folder, { recursive: true, force: true });
  process.exit(code ?? 1);
});
