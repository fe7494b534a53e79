// `npm test`: installs if needed, fetches the servers the tests need, and runs every test while types, style and unused
// code are checked; the tests of what is packed build it. The last line counts: N passed, N failed, N skipped.
import "./require-node.mjs";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { projectEnvironment } from "./environment.mjs";
import { ensureInstalled, InstallError } from "./install.mjs";
import { runChecks, runStep } from "./steps.mjs";
import { binFolder, cacheFolder, projectNode, root } from "./workspace.mjs";

const countsFile = join(cacheFolder, "counts.json");
const reportFile = join(cacheFolder, "report.json");
const filters = process.argv.slice(2);

const bin = (name, command, ...args) => ({ name, file: join(binFolder, command), args });

const prefetch = {
  name: "servers for the tests",
  file: projectNode,
  args: ["--conditions=@gatewright/source", join(root, "tools/testkit/src/prefetch.ts")],
};

const checks = [
  bin("types", "tsc", "--noEmit", "-p", "tsconfig.json"),
  bin("style", "biome", "check", "--error-on-warnings", "."),
  bin("unused code", "knip", "--no-progress"),
];

const tests = bin(
  "tests",
  "vitest",
  "run",
  ...(filters.length > 0 ? filters : ["--coverage"]),
  "--reporter=dot",
  "--reporter=json",
  `--outputFile.json=${reportFile}`,
  `--reporter=${join(root, "tools/bootstrap/src/count-reporter.mjs")}`,
);

async function main() {
  await ensureInstalled(root);
  const started = Date.now();
  rmSync(countsFile, { force: true });
  const env = { ...projectEnvironment(), GATEWRIGHT_COUNTS_FILE: countsFile };
  const options = { cwd: root, env };
  const ended = [];
  for (const steps of filters.length > 0 ? [[tests]] : [[prefetch], [tests, checks]]) {
    ended.push(...(await together(steps, options)));
    const stopped = ended.find(({ signal }) => signal !== undefined);
    if (stopped !== undefined) process.exit(stopped.code === 0 ? 143 : stopped.code);
  }
  const failures = ended.filter(({ code }) => code !== 0).map(({ name }) => name);
  const rows = ended.map(
    ({ name, code, seconds }) => `${code === 0 ? "ok    " : "FAILED"}  ${name} (${seconds.toFixed(1)} s)`,
  );
  const counts = readCounts();
  const failedSteps = failures.filter((name) => name !== "tests" || counts.failed === 0).length;
  console.log(
    `\n${rows.join("\n")}\nin ${((Date.now() - started) / 1000).toFixed(0)} s; report: ${reportFile.slice(root.length + 1)}`,
  );
  console.log(`${counts.passed} passed, ${counts.failed + failedSteps} failed, ${counts.skipped} skipped`);
  return failures.length === 0 && counts.passed > 0 ? 0 : 1;
}

/** Runs a step, and checks beside it. */
async function together([step, checks = []], options) {
  const [ended, checked] = await Promise.all([runStep(step, options), runChecks(checks, options)]);
  return [...checked, ended];
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
