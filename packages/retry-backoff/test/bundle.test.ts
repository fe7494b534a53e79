import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "tsup";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/** Bytes of gzip of what is loaded when the root entry is imported. */
const ENTRY_LIMIT = 4_096;
/** The same with every file that the entry loads later, each by itself. */
const WHOLE_LIMIT = 8_192;

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

const read = (file: string) => readFile(join(outDir, file), "utf8");
const zipped = (code: string) => gzipSync(code, { level: 9 }).byteLength;
const imports = (code: string) => [...code.matchAll(/from\s*"([^"]+)"/g)].map(([, path]) => path);
const loads = (code: string) =>
  [...code.matchAll(/import\("\.\/([a-z-]+)-[^"]+"\)/g)].map(([, name]) => name);

describe("the root entry, minified, without zod", () => {
  it("is at most 4 kB of gzip, and everything that is loaded later at most as much again", async () => {
    expect(zipped(await read("index.js"))).toBeLessThanOrEqual(ENTRY_LIMIT);
    const files = await readdir(outDir);
    const sizes = await Promise.all(files.map(async (file) => zipped(await read(file))));
    expect(sizes.reduce((sum, size) => sum + size)).toBeLessThanOrEqual(WHOLE_LIMIT);
  });

  it("is one file that imports zod alone", async () => {
    expect(imports(await read("index.js"))).toEqual(["zod"]);
  });

  it("loads what runs calls when a retrier is made, and hedging when it is asked for", async () => {
    expect(loads(await read("index.js"))).toEqual(["engine", "engine"]);
    const engine = (await readdir(outDir)).find((file) => file.startsWith("engine-")) ?? "";
    expect(loads(await read(engine))).toEqual(["hedge"]);
  });
});
