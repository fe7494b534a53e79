import { execFile } from "node:child_process";
import { expect, it } from "vitest";
import { root } from "../src/workspace.mjs";

// Slow because it starts npm, and a test run of its own.
it("npm test runs with no registry in reach once everything is installed", { timeout: 120_000 }, async () => {
  const env = { ...process.env, npm_config_registry: "http://127.0.0.1:9", npm_config_cache: "/nonexistent" };
  const args = ["test", "--", "--project", "retry-backoff", "test/retry-after.test.ts"];
  const { code, output } = await new Promise<{ code: number; output: string }>((resolve) => {
    execFile("npm", args, { cwd: root, env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });
  expect(code, output).toBe(0);
  expect(output.trimEnd().split("\n").at(-1)).toMatch(/^[1-9]\d* passed, 0 failed, 0 skipped$/);
});
