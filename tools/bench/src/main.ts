// `npm run bench [PACKAGE …]`: runs the benchmarks of every package (or the named ones) one after the other,
// prints one table of figures and ratios, and writes bench/results.json.
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { type BenchRow, figure, ratio, resultsVariable } from "./bench-row.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const wanted = process.argv.slice(2);

const folders = ["packages", "apps", "tools"]
  .flatMap((group) =>
    readdirSync(join(root, group)).map((name) => ({ name, folder: join(root, group, name) })),
  )
  .filter(({ name, folder }) => (wanted.length === 0 || wanted.includes(name)) && hasBench(folder));

function hasBench(folder: string): boolean {
  const file = join(folder, "package.json");
  if (!existsSync(file)) return false;
  const manifest = JSON.parse(readFileSync(file, "utf8")) as { scripts?: Record<string, string> };
  return manifest.scripts?.["bench"] !== undefined;
}

function runBench(folder: string, results: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, [resultsVariable]: results };
    const child = spawn("pnpm", ["run", "bench"], {
      cwd: folder,
      env,
      stdio: ["ignore", "inherit", "inherit"],
    });
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}

function printTable(rows: readonly BenchRow[]): void {
  const table = rows.map((row) => [
    row.subject,
    row.what,
    `${figure(row.ours)} ${row.unit}`,
    Object.entries(row.peers)
      .map(([name, value]) => `${name} ${figure(value)} (${ratio(row, name, value)})`)
      .join(", "),
    row.bar === undefined ? "" : `${row.bar}${row.met === undefined ? "" : row.met ? " ✓" : " ✗"}`,
  ]);
  const lines = [["subject", "what", "ours", "peers (times better)", "bar"], ...table];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  for (const line of lines) {
    console.log(
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  }
}

if (folders.length === 0) {
  console.error(`No package with benchmarks is named ${wanted.join(" or ")}.`);
  process.exit(2);
}
const scratch = mkdtempSync(join(tmpdir(), "gatewright-bench-"));
const results = join(scratch, "rows.jsonl");
writeFileSync(results, "");
let failed = 0;
for (const [index, { name, folder }] of folders.entries()) {
  console.log(`\n[${index + 1}/${folders.length}] ${name}`);
  if ((await runBench(folder, results)) !== 0) failed += 1;
}
const rows = readFileSync(results, "utf8")
  .split("\n")
  .filter((line) => line !== "")
  .map((line) => JSON.parse(line) as BenchRow);
rmSync(scratch, { recursive: true });
console.log();
printTable(rows);
mkdirSync(join(root, "bench"), { recursive: true });
const machine = { node: process.version, cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length };
writeFileSync(join(root, "bench", "results.json"), `${JSON.stringify({ machine, rows }, null, 2)}\n`);
console.log(
  `\nWritten to bench/results.json (Node ${process.version}, ${machine.cores} cores). Compare ratios, not times.`,
);
process.exitCode = failed === 0 ? 0 : 1;
