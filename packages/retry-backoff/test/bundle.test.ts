import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "tsup";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleSize, PEER_PROGRAMS } from "../bench/bundle-size.ts";

/** Bytes of gzip of all that the root entry is, so that it does not grow unseen. */
const LIMIT = 7_700;

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
  it("is one file, whole when it is imported: a process in trouble loads nothing more", async () => {
    expect(await readdir(outDir)).toEqual(["index.js"]);
    const code = await readFile(join(outDir, "index.js"), "utf8");
    expect([...code.matchAll(/from\s*"([^"]+)"/g)].map(([, path]) => path)).toEqual(["zod"]);
    expect(code).not.toMatch(/\bimport\(/);
  });

  it("stays below 7.7 kB of gzip", async () => {
    const code = await readFile(join(outDir, "index.js"));
    expect(gzipSync(code, { level: 9 }).byteLength).toBeLessThanOrEqual(LIMIT);
  });

  it("is within 1.5 of the smallest that the named peers do a part of its work with", async () => {
    const ours = await bundleSize('export * from "@gatewright/retry-backoff"');
    const floors: number[] = [];
    for (const program of Object.values(PEER_PROGRAMS)) floors.push(await bundleSize(program));
    // Less would mean that a peer was not found, or left outside.
    expect(Math.min(...floors)).toBeGreaterThan(4_096);
    expect(ours).toBeLessThanOrEqual(1.5 * Math.min(...floors));
  });
});
