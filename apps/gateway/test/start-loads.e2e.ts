import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it, onTestFinished } from "vitest";

const program = join(import.meta.dirname, "support", "loaded-by-start.ts");

/** The npm packages, and the entry points of ours, among the URLs of modules. */
function partsOf(urls: readonly string[]): Set<string> {
  const names = urls.map((url) => {
    if (url.startsWith("node:")) return url;
    const inPackage = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
    return inPackage ?? /\/(packages\/[^/]+\/src\/(?:\w+\/)?)/.exec(url)?.[1] ?? "";
  });
  return new Set(names);
}

it("a start on embedded defaults loads no driver, and nothing that only some requests or settings need", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "gatewright-loads-"));
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const env = { ...process.env, PORT: "0", DATA_DIR: dataDir, LOG_LEVEL: "silent", NODE_OPTIONS: "" };
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--conditions=@gatewright/source", "--disable-warning=ExperimentalWarning", program],
    { env, maxBuffer: 8 << 20 },
  );
  const parts = partsOf(JSON.parse(stdout) as string[]);
  expect(parts).toContain("fastify");
  expect(parts).toContain("kysely");
  expect(parts).toContain("node:sqlite");
  expect(parts).toContain("packages/rate-limiter/src/");
  const drivers = ["ioredis", "pg", "packages/db-resilience/src/"];
  const ofReplicas = [
    "rate-limiter",
    "retry-backoff",
    "session-pool",
    "server-classifier",
    "plugin-framework",
  ].map((name) => `packages/${name}/src/redis/`);
  const onDemand = [
    "node:http",
    "@fastify/ajv-compiler",
    "@fastify/fast-json-stringify-compiler",
    "jose",
    "prom-client",
    "yaml",
    "@opentelemetry/api",
  ];
  for (const part of [...drivers, ...ofReplicas, ...onDemand]) expect(parts).not.toContain(part);
});
