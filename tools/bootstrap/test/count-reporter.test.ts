import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { cacheFolder, root } from "../src/workspace.mjs";

it("counts tests, files that do not load, failing hooks with what they kept from running, and unhandled errors", {
  timeout: 60_000,
}, async () => {
  mkdirSync(cacheFolder, { recursive: true });
  const folder = mkdtempSync(join(cacheFolder, "count-"));
  const counts = join(folder, "counts.json");
  const vitest = 'import { afterAll, beforeAll, describe, it, expect } from "vitest";\n';
  const files = {
    "ok.test.ts": 'it("a", () => {}); it("b", () => expect(1).toBe(2)); it.skipIf(true)("c", () => {});',
    "broken.test.ts": 'throw new Error("does not load");',
    "hook.test.ts":
      'describe("d", () => { afterAll(() => { throw new Error("hook"); }); it("e", () => {}); });',
    "before.test.ts":
      'beforeAll(() => { throw new Error("no server"); }); it("g", () => {}); it("h", () => {});',
    "unhandled.test.ts":
      'it("f", async () => { void Promise.reject(new Error("late")); await new Promise((r) => setTimeout(r, 50)); });',
  };
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), vitest + text);
    writeFileSync(join(folder, "vitest.config.ts"), "export default {};\n");
    const reporter = join(root, "tools", "bootstrap", "src", "count-reporter.mjs");
    await new Promise<void>((resolve) => {
      const env = { ...process.env, GATEWRIGHT_COUNTS_FILE: counts };
      const args = [join(root, "node_modules", "vitest", "vitest.mjs"), "run", `--reporter=${reporter}`];
      execFile(process.execPath, args, { cwd: folder, env }, () => resolve());
    });
    expect(JSON.parse(readFileSync(counts, "utf8"))).toEqual({ passed: 3, failed: 7, skipped: 1 });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
