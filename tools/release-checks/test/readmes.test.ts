import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startPostgres, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodes } from "../src/consumer.ts";
import { type Fence, typescriptFences } from "../src/fences.ts";
import { type PublishedPackage, publishedPackages, root } from "../src/published-packages.ts";
import { type Finished, run } from "../src/run.ts";

/** Examples lie inside their package, so that they import it by its name. */
const folderOf = (pkg: PublishedPackage) => join(pkg.folder, ".fences");
const nameOf = ({ line }: Fence) => `line-${line}.ts`;
const projectFolder = join(import.meta.dirname, "..", ".fences");
const fencesOf = new Map(
  publishedPackages.map((pkg) => [pkg, typescriptFences(join(pkg.folder, "README.md"))]),
);

let env: NodeJS.ProcessEnv;
let redis: Awaited<ReturnType<typeof startRedis>>;
let postgres: Awaited<ReturnType<typeof startPostgres>>;
let checked: Finished;

beforeAll(async () => {
  [redis, postgres, checked] = await Promise.all([startRedis(), startPostgres(), typecheckAll()]);
  env = { ...process.env, NODE_OPTIONS: "", REDIS_URL: redis.url, DATABASE_URL: postgres.url };
}, 120_000);

afterAll(async () => {
  for (const folder of [projectFolder, ...publishedPackages.map(folderOf)]) {
    rmSync(folder, { recursive: true, force: true });
  }
  await Promise.all([redis?.stop(), postgres?.stop()]);
});

/** Writes the examples of all packages down, and checks them as one program: it reads what they share once. */
function typecheckAll(): Promise<Finished> {
  for (const [pkg, fences] of fencesOf) {
    rmSync(folderOf(pkg), { recursive: true, force: true });
    mkdirSync(folderOf(pkg));
    for (const fence of fences) {
      writeFileSync(join(folderOf(pkg), nameOf(fence)), `${fence.text}export {};\n`);
    }
  }
  const include = publishedPackages.map((pkg) => join(folderOf(pkg), "*.ts"));
  mkdirSync(projectFolder, { recursive: true });
  writeFileSync(
    join(projectFolder, "tsconfig.json"),
    JSON.stringify({ extends: join(root, "tsconfig.base.json"), include }),
  );
  return run(join(root, "node_modules", ".bin", "tsc"), ["-p", "tsconfig.json"], { cwd: projectFolder });
}

it("READMEs have only examples that type-check", () => {
  expect(checked.code, checked.output).toBe(0);
});

describe.for(publishedPackages)("README of $name", (pkg) => {
  const fences = fencesOf.get(pkg) ?? [];

  it("has examples, and they run", { timeout: 240_000 }, async () => {
    expect(fences.length).toBeGreaterThan(0);
    for (const fence of fences.filter((one) => one.runs)) {
      const args = ["--conditions=@gatewright/source", nameOf(fence)];
      const ran = await run(nodes["Node 24"], args, { cwd: folderOf(pkg), env, timeoutMs: 60_000 });
      expect(ran.code, `README.md:${fence.line}\n${ran.output}`).toBe(0);
    }
  });
});
