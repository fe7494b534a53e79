import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type ConformanceChecks, readChecks } from "./conformance-checks.ts";

/** What the public conformance suite is run for. */
export interface ConformanceOptions {
  /** The MCP endpoint under test. */
  readonly url: string;
  /** The revision whose requirements count, for example `2026-07-28`. */
  readonly requirements: "2025-11-25" | "2026-07-28";
  /** A YAML file of expected failures, as the suite defines it. */
  readonly expectedFailures?: string;
  /** For the whole run; default 120 000. */
  readonly timeoutMs?: number;
}

/** One scenario: how many of its checks passed and failed. */
export interface ScenarioResult {
  readonly scenario: string;
  readonly passed: number;
  readonly failed: number;
}

/** What the suite said. */
export interface ConformanceReport {
  /** The scenarios that the revision requires. */
  readonly scored: readonly ScenarioResult[];
  /** Scenarios that were run for information only: extensions and later additions. */
  readonly notScored: readonly ScenarioResult[];
  /** Scored scenarios without a failed check. */
  readonly passed: number;
  readonly failed: readonly string[];
  /** What each single check of the scored scenarios came to. */
  readonly checks: ConformanceChecks;
  readonly exitCode: number | null;
  /** Everything it printed, colours removed. */
  readonly output: string;
}

const SUMMARY_LINE = /^[✓✗] (\S+): (\d+) passed, (\d+) failed$/gmu;
// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal colours begin with one
const COLOUR = /\u001b\[\d+m/gu;

/** Runs `@modelcontextprotocol/conformance` in server direction, in a process of its own. */
export async function runConformance(options: ConformanceOptions): Promise<ConformanceReport> {
  const manifest = createRequire(import.meta.url).resolve("@modelcontextprotocol/conformance/package.json");
  const cli = join(dirname(manifest), "dist", "index.js");
  const args = [cli, "server", "--url", options.url, "--requirements", options.requirements];
  if (options.expectedFailures !== undefined) args.push("--expected-failures", options.expectedFailures);
  const results = await mkdtemp(join(tmpdir(), "gatewright-conformance-"));
  args.push("--output-dir", results);
  try {
    return reportOf(await outputOf(args, options.timeoutMs ?? 120_000), {
      required: requiredScenarios(dirname(manifest), options.requirements),
      results,
    });
  } finally {
    await rm(results, { recursive: true, force: true });
  }
}

interface Ended {
  readonly exitCode: number | null;
  readonly output: string;
}

async function outputOf(args: readonly string[], timeoutMs: number): Promise<Ended> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], timeout: timeoutMs });
  let output = "";
  const collect = (chunk: Buffer): void => {
    output += chunk.toString("utf8");
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  const [exitCode] = (await once(child, "close")) as [number | null];
  return { exitCode, output: output.replaceAll(COLOUR, "") };
}

/** Reads what a run printed and wrote down. */
function reportOf(
  { exitCode, output }: Ended,
  { required, results }: { readonly required: ReadonlySet<string>; readonly results: string },
): ConformanceReport {
  const all = [...output.matchAll(SUMMARY_LINE)].map(([, scenario = "", passed, failed]) => ({
    scenario,
    passed: Number(passed),
    failed: Number(failed),
  }));
  const scored = all.filter(({ scenario }) => required.has(scenario));
  const failed = scored.filter((result) => result.failed > 0 || result.passed === 0);
  return {
    scored,
    notScored: all.filter(({ scenario }) => !required.has(scenario)),
    passed: scored.length - failed.length,
    failed: failed.map(({ scenario }) => scenario),
    checks: readChecks(results, required),
    exitCode,
    output,
  };
}

/** The scenarios that a revision requires of a server, by the suite's own list. */
function requiredScenarios(folder: string, revision: string): ReadonlySet<string> {
  const text = readFileSync(join(folder, "requirements", `${revision}.yaml`), "utf8");
  const [, list = ""] = /^server:\n((?: {2}- .*\n)+)/mu.exec(text) ?? [];
  return new Set([...list.matchAll(/^ {2}- (\S+)/gmu)].map(([, scenario = ""]) => scenario));
}
