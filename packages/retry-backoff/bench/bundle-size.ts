import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "tsup";

/** Bytes of gzip of a program that is this one line, as esbuild bundles it into one file, minified, zod outside. */
export async function bundleSize(program: string): Promise<number> {
  // Below this package, so that peers are found.
  const folder = mkdtempSync(join(import.meta.dirname, "..", "node_modules", ".bundle-"));
  try {
    writeFileSync(join(folder, "program.ts"), program);
    await build({
      entry: [join(folder, "program.ts")],
      outDir: folder,
      config: false,
      format: "esm",
      platform: "node",
      target: "node22",
      minify: true,
      splitting: false,
      treeshake: false,
      noExternal: [/^(?!zod$)/],
      external: ["zod"],
      silent: true,
      esbuildOptions(options) {
        options.conditions = ["@gatewright/source", "module"];
      },
    });
    return gzipSync(readFileSync(join(folder, "program.js")), { level: 9 }).byteLength;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * The smallest programs of the named peers that retry within a total time, from a budget, by what `Retry-After` asks and
 * until a signal: AWS's strategy has the budget and the delays, the others have the loop, limits of time and the signal. None
 * of them judges failures or results, knows what may be repeated, hedges, or checks its options.
 */
export const PEER_PROGRAMS = {
  "@smithy/util-retry with p-retry":
    'export { StandardRetryStrategy } from "@smithy/util-retry"; import pRetry from "p-retry"; export { pRetry }',
  "@smithy/util-retry with cockatiel":
    'export { StandardRetryStrategy } from "@smithy/util-retry"; export { retry, timeout, wrap, handleWhen, DelegateBackoff } from "cockatiel"',
} as const;
