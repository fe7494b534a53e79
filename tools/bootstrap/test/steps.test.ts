import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { root } from "../src/workspace.mjs";

/** Runs steps, given as JavaScript, in a process of their own; returns what it printed. */
function print(folder: string, code: string): Promise<string> {
  const steps = join(root, "tools", "bootstrap", "src", "steps.mjs");
  const program = [
    `import { runChecks, runStep } from ${JSON.stringify(steps)};`,
    'const step = (name, code) => ({ name, file: process.execPath, args: ["-e", code] });',
    code,
  ].join("\n");
  return new Promise((resolve) => {
    const args = ["--input-type=module", "-e", program];
    execFile(process.execPath, args, { cwd: folder }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "gatewright-steps-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

it("every check runs, with less of the processor than the tests; one that fails is shown whole, and its code told", async () => {
  const output = await print(
    temporaryFolder(),
    `const ended = await runChecks([
      step("types", "console.log('two errors'); console.error('of niceness ' + os.getPriority()); process.exit(2)"),
      step("style", "console.log('all is well')"),
      step("unused code", "process.exit(1)"),
    ], {});
    console.log(ended.map(({ name, code }) => name + ":" + code).join(" "));`,
  );
  expect(output.trim().split(/\n+/)).toEqual([
    "— types: FAILED",
    "two errors",
    "of niceness 10",
    "— unused code: FAILED",
    "types:2 style:0 unused code:1",
  ]);
});

it("checks and tests wait for each other nowhere", async () => {
  const folder = temporaryFolder();
  writeFileSync(
    join(folder, "await-file.cjs"),
    `const { existsSync, writeFileSync } = require("node:fs");
    const [, , mine, other] = process.argv;
    writeFileSync(mine, "");
    const timer = setInterval(() => existsSync(other) && clearInterval(timer), 10);`,
  );
  const output = await print(
    folder,
    `const meet = (name, mine, other) => ({ name, file: process.execPath, args: ["await-file.cjs", mine, other] });
    const [tests, checks] = await Promise.all([
      runStep(meet("tests", "a", "b"), {}),
      runChecks([step("types", ""), meet("style", "b", "a")], {}),
    ]);
    console.log(tests.code, checks.map(({ code }) => code).join(" "));`,
  );
  expect(output.trim().split(/\n+/)).toEqual(["— tests", "0 0 0"]);
});
