import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** What the public conformance suite is run for, in client direction. */
export interface ClientConformanceOptions {
  readonly scenario: string;
  /** The client's program; the suite appends the URL of its server, and sets `MCP_CONFORMANCE_SCENARIO`. */
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** For the client; default 60 000. */
  readonly timeoutMs?: number;
}

/** What the suite said of a client. */
export interface ClientConformanceReport {
  readonly passed: number;
  readonly checks: number;
  readonly failed: number;
  readonly warnings: number;
  readonly exitCode: number | null;
  /** Everything it printed, the client's words included. */
  readonly output: string;
}

const totals = /^Passed: (\d+)\/(\d+), (\d+) failed, (\d+) warnings$/mu;

/** Runs one scenario of `@modelcontextprotocol/conformance` in client direction, in a process of its own. */
export async function runClientConformance(
  options: ClientConformanceOptions,
): Promise<ClientConformanceReport> {
  const { scenario, command, env, timeoutMs = 60_000 } = options;
  const manifest = createRequire(import.meta.url).resolve("@modelcontextprotocol/conformance/package.json");
  const results = await mkdtemp(join(tmpdir(), "gatewright-conformance-"));
  const args = [join(dirname(manifest), "dist", "index.js"), "client", "--scenario", scenario];
  args.push("--command", command.join(" "), "--timeout", String(timeoutMs), "--output-dir", results);
  try {
    const child = spawn(process.execPath, args, {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: timeoutMs + 10_000,
    });
    let output = "";
    const collect = (chunk: Buffer): void => {
      output += chunk.toString("utf8");
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    const [exitCode] = (await once(child, "close")) as [number | null];
    const [, passed, checks, failed, warnings] = totals.exec(output) ?? [];
    return {
      passed: Number(passed ?? 0),
      checks: Number(checks ?? 0),
      failed: Number(failed ?? Number.NaN),
      warnings: Number(warnings ?? Number.NaN),
      exitCode,
      output,
    };
  } finally {
    await rm(results, { recursive: true, force: true });
  }
}
