import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startPostgres, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodes } from "../src/consumer.ts";
import { typescriptFences } from "../src/fences.ts";
import { publishedPackages, root } from "../src/published-packages.ts";
import { run } from "../src/run.ts";

let env: NodeJS.ProcessEnv;
let redis: Awaited<ReturnType<typeof startRedis>>;
let postgres: Awaited<ReturnType<typeof startPostgres>>;

beforeAll(async () => {
  [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
  env = { ...process.env, NODE_OPTIONS: "", REDIS_URL: redis.url, DATABASE_URL: postgres.url };
}, 120_000);

afterAll(async () => {
  await Promise.all([redis?.stop(), postgres?.stop()]);
});

describe.for(publishedPackages)("README of $name", (pkg) => {
  it("has only examples that type-check, and they run", { timeout: 240_000 }, async () => {
    const fences = typescriptFences(join(pkg.folder, "README.md"));
    expect(fences.length).toBeGreaterThan(0);
    const folder = join(pkg.folder, ".fences");
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    try {
      const nameOf = (line: number) => `line-${line}.ts`;
      for (const fence of fences)
        writeFileSync(join(folder, nameOf(fence.line)), `${fence.text}export {};\n`);
      const config = { extends: join(root, "tsconfig.base.json"), include: ["*.ts"] };
      writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
      const checked = await run(join(root, "node_modules", ".bin", "tsc"), ["-p", "tsconfig.json"], {
        cwd: folder,
      });
      expect(checked.code, checked.output).toBe(0);
      for (const fence of fences.filter((one) => one.runs)) {
        const args = ["--conditions=@gatewright/source", nameOf(fence.line)];
        const ran = await run(nodes["Node 24"], args, { cwd: folder, env, timeoutMs: 60_000 });
        expect(ran.code, `README.md:${fence.line}\n${ran.output}`).toBe(0);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
