import { readFileSync } from "node:fs";
import type { Reporter, TestCase } from "vitest/node";
import { caseTable } from "./case-table.ts";

/** How one test of a case ended. */
export interface CaseResult {
  /** As in the resilience plan: CL-01 … TX-03. */
  readonly id: string;
  /** At the package, or black-box through the gateway. */
  readonly level: "package" | "gateway";
  readonly title: string;
  readonly passed: boolean;
  readonly seconds: number;
}

const idPattern = /\b(?:CL|CP|FO|TX)-\d\d\b/;

/** A vitest reporter for the resilience plan: a line for each test as it ends, and a table of the cases at the end. */
export default class CaseReporter implements Reporter {
  readonly #results: CaseResult[] = [];

  onTestCaseResult(test: TestCase): void {
    const id = idPattern.exec(test.name)?.[0];
    const { state, errors = [] } = test.result();
    if (state !== "failed" && (state !== "passed" || id === undefined)) return;
    const level = test.project.name === "gateway" ? "gateway" : "package";
    const seconds = (test.diagnostic()?.duration ?? 0) / 1_000;
    const result = { id: id ?? "-", level, title: test.name, passed: state === "passed", seconds } as const;
    this.#results.push(result);
    const mark = result.passed ? "ok    " : "FAILED";
    const place = `${String(this.#results.length).padStart(3)}  ${mark}  ${level.padEnd(7)}`;
    console.log(`${place}  ${seconds.toFixed(1).padStart(5)} s  ${test.name}`);
    for (const { message, stack } of errors) console.log(`     ${stack ?? message}`);
  }

  onTestRunEnd(
    _modules: unknown,
    unhandled: readonly { readonly stack?: string; readonly message: string }[],
  ): void {
    for (const { stack, message } of unhandled) console.log(`FAILED  ${stack ?? message}`);
    console.log(`\n${caseTable(this.#results, figures())}`);
    const failed = this.#results.filter(({ passed }) => !passed).length + unhandled.length;
    console.log(`\n${this.#results.length - failed} passed, ${failed} failed`);
  }
}

/** What the tests have measured, as lines of JSON in a file that an environment variable names. */
function figures(): { readonly test: string; readonly what: string; readonly value: number }[] {
  const file = process.env["GATEWRIGHT_RESILIENCE_FIGURES"];
  if (file === undefined) return [];
  try {
    const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
    return lines.map((line) => JSON.parse(line));
  } catch {
    return [];
  }
}
