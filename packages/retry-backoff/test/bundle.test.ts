import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "tsup";
import { expect, it } from "vitest";

/** Regression guard in bytes; the aim is 4 096. */
const LIMIT = 8_000;

it("the root entry, minified, stays below its limit of gzip bytes without zod", async () => {
  const outDir = await mkdtemp(join(tmpdir(), "retry-backoff-bundle-"));
  try {
    await build({
      entry: [join(import.meta.dirname, "../src/index.ts")],
      config: false,
      format: "esm",
      minify: true,
      target: "node22",
      external: ["zod"],
      silent: true,
      outDir,
    });
    const bytes = gzipSync(await readFile(join(outDir, "index.js")), { level: 9 }).byteLength;
    expect(bytes).toBeLessThanOrEqual(LIMIT);
  } finally {
    await rm(outDir, { recursive: true, force: true });
  }
});
