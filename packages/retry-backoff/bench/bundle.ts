import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { recordRow } from "@gatewright/bench";
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

/** What a program carries that retries, beside the same of peers that do a part of it. */
export async function benchBundle(): Promise<void> {
  const from = '"@gatewright/retry-backoff"';
  const sizes = {
    ours: await bundleSize(`export * from ${from}`),
    "ours, retry alone": await bundleSize(`export { retry } from ${from}`),
    "ours, decide and parsePolicy": await bundleSize(`export { decide, parsePolicy } from ${from}`),
  };
  // Budget, delays and Retry-After; and attempts, limits of time and signals. Neither knows what is safe to repeat.
  const smithy = await bundleSize('export { StandardRetryStrategy } from "@smithy/util-retry"');
  const cockatiel = await bundleSize(
    'export { retry, timeout, wrap, handleWhen, ExponentialBackoff } from "cockatiel"',
  );
  const pRetry = await bundleSize('import pRetry from "p-retry"; export { pRetry }');
  const base = { subject: "retry-backoff", unit: "bytes", better: "less" } as const;
  recordRow({
    ...base,
    what: "root entry, one file, minified, gzip, without zod",
    ours: sizes.ours,
    peers: {
      "@smithy/util-retry, standard": smithy,
      "cockatiel, retry and timeout": cockatiel,
      "p-retry": pRetry,
    },
    bar: "≤ 4 096",
    met: sizes.ours <= 4_096,
  });
  recordRow({ ...base, what: "the same, retry alone", ours: sizes["ours, retry alone"], peers: {} });
  recordRow({
    ...base,
    what: "the same, decide and parsePolicy",
    ours: sizes["ours, decide and parsePolicy"],
    peers: {},
  });
}
