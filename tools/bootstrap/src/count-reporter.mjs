// A vitest reporter that counts what ran. Failures outside a test (a file that does not load, a hook, an
// unhandled rejection) count as failed, and so does each test that did not run because of one, so that no broken run can
// look green, or like one that chose to skip.
import { writeFileSync } from "node:fs";

export default class CountReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      let broken = module.errors().length;
      for (const suite of module.children.allSuites()) broken += suite.errors().length;
      counts.failed += broken;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        const notRun = broken > 0 ? "failed" : "skipped";
        counts[state === "passed" || state === "failed" ? state : notRun] += 1;
      }
    }
    const file = process.env.GATEWRIGHT_COUNTS_FILE;
    if (file !== undefined) {
      writeFileSync(file, JSON.stringify(counts));
      return;
    }
    const line = `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
    process.once("exit", () => console.log(line));
  }
}
