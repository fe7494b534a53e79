import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createConsumer, nodes } from "../src/consumer.ts";
import { typescriptFences } from "../src/fences.ts";
import { catalogVersion, publishedPackages, root } from "../src/published-packages.ts";
import { run } from "../src/run.ts";
import { packAll } from "../src/tarballs.ts";

let folder: string;
let tarballs: ReadonlyMap<string, string>;
let redis: Awaited<ReturnType<typeof startRedis>>;
let postgres: Awaited<ReturnType<typeof startPostgres>>;

const tarballOf = (name: string) => `file:${tarballs.get(name)}`;
const typesOfNode = { "@types/node": "^24.0.0" };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gatewright-packed-"));
  [tarballs, redis, postgres] = await Promise.all([
    packAll(join(folder, "tarballs")),
    startRedis(),
    startPostgres(),
  ]);
}, 300_000);

afterAll(async () => {
  await Promise.all([redis?.stop(), postgres?.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

describe.for(publishedPackages)("$name", (pkg) => {
  it("is packed as publint and attw want it", { timeout: 120_000 }, async () => {
    const tarball = tarballs.get(pkg.name) ?? "";
    const linted = await run("publint", ["run", tarball, "--strict"], { cwd: pkg.folder });
    expect(linted.output, "publint").toMatch(/All good/);
    const typed = await run("attw", [tarball, "--profile", "esm-only", "--no-emoji", "--format", "ascii"], {
      cwd: pkg.folder,
    });
    expect(typed.code, typed.output).toBe(0);
  });

  it("works alone: its README's first example type-checks and runs without optional peers", {
    timeout: 180_000,
  }, async () => {
    const [example] = typescriptFences(join(pkg.folder, "README.md"));
    expect(example, "a first example").toBeDefined();
    const peers = Object.fromEntries(
      Object.keys(pkg.requiredPeers).map((peer) => [peer, catalogVersion(peer)]),
    );
    const typings = "pg" in peers ? { "@types/pg": catalogVersion("@types/pg") } : {};
    const consumer = await createConsumer(
      join(folder, `alone-${pkg.name.split("/")[1]}`),
      { [pkg.name]: tarballOf(pkg.name), ...peers, ...typings, ...typesOfNode },
      { "example.ts": example?.text ?? "" },
    );
    const checked = await consumer.typecheck();
    expect(checked.code, checked.output).toBe(0);
    for (const [version, node] of Object.entries(nodes)) {
      const env = { ...process.env, NODE_OPTIONS: "", REDIS_URL: redis.url, DATABASE_URL: postgres.url };
      const ran = await consumer.execute(node, "example.ts", env);
      expect(ran.code, `${version}:\n${ran.output}`).toBe(0);
    }
  });
});

/** Examples that use Redis, of packages that are to work on it from the tarball. */
const onRedis = Object.fromEntries(
  ["plugin-framework", "rate-limiter"].map((name) => {
    const fences = typescriptFences(join(root, "packages", name, "README.md"));
    return [`${name}-redis.ts`, fences.find(({ text }) => text.includes('from "ioredis"'))?.text ?? ""];
  }),
);

it("type-checks and loads every entry point of every package together, and runs on Redis", {
  timeout: 240_000,
}, async () => {
  for (const [name, text] of Object.entries(onRedis)) expect(text, name).not.toBe("");
  const entries = publishedPackages.flatMap((pkg) => pkg.entries);
  const peers = publishedPackages.flatMap((pkg) =>
    Object.keys({ ...pkg.requiredPeers, ...pkg.optionalPeers }),
  );
  const external = peers.filter((peer) => !tarballs.has(peer));
  const consumer = await createConsumer(
    join(folder, "everything"),
    {
      ...Object.fromEntries(publishedPackages.map((pkg) => [pkg.name, tarballOf(pkg.name)])),
      ...Object.fromEntries(external.map((peer) => [peer, catalogVersion(peer)])),
      "@types/pg": catalogVersion("@types/pg"),
      ...typesOfNode,
    },
    {
      "entries.ts": [
        ...entries.map((entry, index) => `import * as entry${index} from "${entry}";`),
        `const loaded = [${entries.map((_, index) => `entry${index}`).join(", ")}];`,
        'console.log(loaded.map((entry) => Object.keys(entry).length).join(" "));',
      ].join("\n"),
      ...onRedis,
    },
  );
  const checked = await consumer.typecheck();
  expect(checked.code, checked.output).toBe(0);
  for (const [version, node] of Object.entries(nodes)) {
    const env = { ...process.env, NODE_OPTIONS: "", REDIS_URL: redis.url };
    for (const name of Object.keys(onRedis)) {
      const ran = await consumer.execute(node, name, env);
      expect(ran.code, `${version}, ${name}:\n${ran.output}`).toBe(0);
    }
    const ran = await consumer.execute(node, "entries.ts", { ...process.env, NODE_OPTIONS: "" });
    expect(ran.code, `${version}:\n${ran.output}`).toBe(0);
    expect(ran.output.trim().split(" "), `${version}: an entry point without exports`).not.toContain("0");
  }
});
