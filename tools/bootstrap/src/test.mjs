// `npm test`: installs if needed, fetches the servers the tests need, then checks types and style, builds
// what is packed and runs every test. The last line counts: N passed, N failed, N skipped.
import "./require-node.mjs";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runChild } from "./child.mjs";
import { projectEnvironment } from "./environment.mjs";
import { ensureInstalled, InstallError } from "./install.mjs";
import { binFolder, cacheFolder, projectNode, root } from "./workspace.mjs";

const countsFile = join(cacheFolder, "counts.json");
const reportFile = join(cacheFolder, "report.json");
const filters = process.argv.slice(2);

const source = (file) => [projectNode, ["--conditions=@gatewright/source", join(root, file)]];
const bin = (name, ...args) => [join(binFolder, name), args];

const steps = [
  ["servers for the tests", ...source("tools/testkit/src/prefetch.ts")],
  ["types", ...bin("tsc", "--noEmit", "-p", "tsconfig.json")],
  ["style", ...bin("biome", "check", "--error-on-warnings", ".")],
  ["unused code", ...bin("knip", "--no-progress")],
  ["build", ...bin("turbo", "run", "build", "--output-logs=errors-only")],
];

const tests = [
  "tests",
  ...bin(
    "vitest",
    "run",
    ...(filters.length > 0 ? filters : ["--coverage"]),
    "--reporter=dot",
    "--reporter=json",
    `--outputFile.json=${reportFile}`,
    `--reporter=${join(root, "tools/bootstrap/src/count-reporter.mjs")}`,
  ),
];

async function main() {
  await ensureInstalled(root);
  const started = Date.now();
  rmSync(countsFile, { force: true });
  const env = { ...projectEnvironment(), GATEWRIGHT_COUNTS_FILE: countsFile };
  const failures = [];
  const rows = [];
  for (const [name, file, args] of filters.length > 0 ? [tests] : [...steps, tests]) {
    console.log(`\n— ${name}`);
    const before = Date.now();
    const { code, signal } = await runChild(file, args, { cwd: root, env, graceMs: 5_000 });
    if (signal !== undefined) process.exit(code === 0 ? 143 : code);
    rows.push(
      `${code === 0 ? "ok    " : "FAILED"}  ${name} (${((Date.now() - before) / 1000).toFixed(1)} s)`,
    );
    if (code !== 0) failures.push(name);
  }
  const counts = readCounts();
  const failedSteps = failures.filter((name) => name !== "tests" || counts.failed === 0).length;
  console.log(
    `\n${rows.join("\n")}\nin ${((Date.now() - started) / 1000).toFixed(0)} s; report: ${reportFile.slice(root.length + 1)}`,
  );
  console.log(`${counts.passed} passed, ${counts.failed + failedSteps} failed, ${counts.skipped} skipped`);
  return failures.length === 0 && counts.passed > 0 ? 0 : 1;
}

function readCounts() {
  try {
    return JSON.parse(readFileSync(countsFile, "utf8"));
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof InstallError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
