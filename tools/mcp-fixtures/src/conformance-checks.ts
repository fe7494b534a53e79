import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Verdicts of the suite, best first. */
const verdicts = ["INFO", "SKIPPED", "SUCCESS", "WARNING", "FAILURE"] as const;

/** What one check came to. */
export type CheckVerdict = (typeof verdicts)[number];

/** What checks came to, by `scenario:check`. A check that was made several times counts with its worst verdict. */
export type ConformanceChecks = ReadonlyMap<string, CheckVerdict>;

/** Folders of results are named after scenario and time. */
const FOLDER = /^server-(.+)-\d{4}-\d{2}-\d{2}T/;

/** Reads the checks of the named scenarios from the suite's folder of results. */
export function readChecks(results: string, scenarios: ReadonlySet<string>): ConformanceChecks {
  const checks = new Map<string, CheckVerdict>();
  for (const folder of readdirSync(results)) {
    const [, scenario = ""] = FOLDER.exec(folder) ?? [];
    if (!scenarios.has(scenario)) continue;
    const text = readFileSync(join(results, folder, "checks.json"), "utf8");
    for (const { id, status } of JSON.parse(text) as { id: string; status: CheckVerdict }[]) {
      const name = `${scenario}:${id}`;
      const known = checks.get(name);
      if (known === undefined || verdicts.indexOf(status) > verdicts.indexOf(known)) checks.set(name, status);
    }
  }
  return checks;
}

/** The checks that failed. */
export function failedChecks(checks: ConformanceChecks): string[] {
  return [...checks].filter(([, verdict]) => verdict === "FAILURE").map(([name]) => name);
}

/** How a run differs from another, check by check: `scenario:check: SUCCESS, not FAILURE`; nothing when it does not. */
export function checkDifferences(expected: ConformanceChecks, got: ConformanceChecks): string[] {
  const names = [...new Set([...expected.keys(), ...got.keys()])].sort();
  return names
    .filter((name) => expected.get(name) !== got.get(name))
    .map((name) => `${name}: ${got.get(name) ?? "not made"}, not ${expected.get(name) ?? "not made"}`);
}
