import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, it } from "vitest";
import { PROFILES } from "../src/profiles.ts";
import type { ProfileReport } from "../src/report.ts";

const folder = mkdtempSync(join(tmpdir(), "gatewright-loadtest-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function loadtest(...args: string[]): Promise<{ code: number; output: string }> {
  const main = join(import.meta.dirname, "..", "src", "main.ts");
  const child = spawn(process.execPath, ["--conditions=@gatewright/source", main, ...args, "--out", folder]);
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, "close");
  return { code, output };
}

// At once, as each starts processes of its own and mostly waits for their schedules.
describe.concurrent("loadtest command", { timeout: 120_000 }, () => {
  it("runs a profile against a real gateway, and writes its reports", async ({ expect }) => {
    const { code, output } = await loadtest("perf-01", "--scale", "smoke");
    const report = JSON.parse(readFileSync(join(folder, "perf-01-smoke.json"), "utf8")) as ProfileReport;
    expect(
      report.runs.map(({ target, offered }) => [target, offered]),
      output,
    ).toEqual([
      ["direct", 100],
      ["bare proxy", 100],
      ["gateway", 300],
    ]);
    // Where other tests take the processor, calls start late or the run is void; but none may fail.
    for (const { outcomes, offered } of report.runs) {
      expect((outcomes["ok"] ?? 0) + (outcomes["late"] ?? 0), JSON.stringify(outcomes)).toBe(offered);
    }
    expect([0, 1, 3]).toContain(code);
    expect(output).toMatch(/PERF-01: 100 calls per second/);
    expect(readFileSync(join(folder, "perf-01-smoke.html"), "utf8")).toMatch(/<svg/);
  });

  it("runs the profiles of streams: every message arrives, over one stream to the upstream", async ({
    expect,
  }) => {
    const { code, output } = await loadtest("ws", "sse", "--scale", "smoke");
    const read = (name: string) =>
      JSON.parse(readFileSync(join(folder, `${name}-smoke.json`), "utf8")) as {
        checks: { what: string; measured: string }[];
      };
    const measured = (name: string) =>
      Object.fromEntries(read(name).checks.map((check) => [check.what, check.measured]));
    expect(measured("ws"), output).toMatchObject({ "sockets dropped": "0" });
    expect(measured("sse"), output).toMatchObject({
      "streams dropped": "0",
      "changes not heard": "0 of 60",
      "streams to the upstream": "1",
    });
    // Where other tests take the processor, times are missed or the run is void.
    expect([0, 1, 3]).toContain(code);
  });

  it("lists upstreams of which some hang: whole but for their items, which are named", async ({ expect }) => {
    const { code, output } = await loadtest("lists", "--scale", "smoke", "--seconds", "1");
    const { checks, overMs } = JSON.parse(readFileSync(join(folder, "lists-smoke.json"), "utf8")) as {
      checks: { what: string; measured: string }[];
      overMs: number[];
    };
    expect(checks[0], output).toMatchObject({ what: "lists that lack something", measured: "0" });
    expect(Math.min(...overMs)).toBeGreaterThan(-50);
    expect([0, 1]).toContain(code);
  });

  it("refuses what it does not know, with the names that it does", async ({ expect }) => {
    const [unknown, scale, none, seconds] = await Promise.all([
      loadtest("perf-99"),
      loadtest("perf-01", "--scale", "huge"),
      loadtest(),
      loadtest("sse", "--seconds", "soon"),
    ]);
    expect([unknown, scale, none, seconds].map(({ code }) => code)).toEqual([2, 2, 2, 2]);
    expect(unknown.output).toMatch(/no profile "perf-99"/);
    expect(scale.output).toMatch(/use smoke, ci, full/);
    for (const { name } of PROFILES) expect(none.output).toContain(name);
  });
});
