import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "tsup";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/** Regression guard in bytes of gzip; the aim is 4 096. README says what stands against it. */
const LIMIT = 7_100;

let outDir: string;

beforeAll(async () => {
  outDir = await mkdtemp(join(tmpdir(), "retry-backoff-bundle-"));
  await build({
    entry: [join(import.meta.dirname, "../src/index.ts")],
    config: false,
    format: "esm",
    minify: true,
    splitting: true,
    target: "node22",
    external: ["zod"],
    silent: true,
    outDir,
  });
});

afterAll(() => rm(outDir, { recursive: true, force: true }));

describe("the root entry, minified, without zod", () => {
  it("stays below its limit of gzip bytes", async () => {
    const code = await readFile(join(outDir, "index.js"));
    expect(gzipSync(code, { level: 9 }).byteLength).toBeLessThanOrEqual(LIMIT);
  });

  it("is one file that imports zod alone, and loads hedging only when it is asked for", async () => {
    const code = await readFile(join(outDir, "index.js"), "utf8");
    expect([...code.matchAll(/from\s*"([^"]+)"/g)].map(([, path]) => path)).toEqual(["zod"]);
    expect([...code.matchAll(/import\("([^"]+)"\)/g)].map(([, path]) => path)).toEqual([
      expect.stringMatching(/^\.\/hedge-/),
    ]);
  });
});
