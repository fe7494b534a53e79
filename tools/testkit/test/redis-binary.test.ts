import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findRedis } from "../src/redis-binary.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-find-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function fakeServer(name: string, version: string): Promise<string> {
  await mkdir(join(folder, name), { recursive: true });
  const path = join(folder, name, "redis-server");
  await writeFile(path, `#!/bin/sh\necho "Redis server v=${version} sha=0"\n`);
  await chmod(path, 0o755);
  return path;
}

describe("findRedis", () => {
  it("takes REDIS_SERVER before anything else", async () => {
    const path = await fakeServer("named", "7.4.0");
    expect(await findRedis({ env: { REDIS_SERVER: path, PATH: "" } })).toEqual({ path, env: {} });
  });

  it("refuses a REDIS_SERVER that is none, instead of quietly taking another", async () => {
    await expect(findRedis({ env: { REDIS_SERVER: "/bin/true", PATH: "" } })).rejects.toThrow(/REDIS_SERVER/);
  });

  it("takes the first usable server on PATH and passes over one that is too old", async () => {
    const old = await fakeServer("old", "6.2.1");
    const good = await fakeServer("good", "8.0.1");
    const PATH = [join(old, ".."), join(good, "..")].join(":");
    expect((await findRedis({ env: { PATH } })).path).toBe(good);
  });

  it("takes an unpacked server from the cache, with its libraries for it alone", async () => {
    const cache = join(folder, "cache");
    await mkdir(join(cache, "redis/usr/bin"), { recursive: true });
    await mkdir(join(cache, "redis/usr/lib/x86_64-linux-gnu"), { recursive: true });
    await symlink(await fakeServer("unpacked", "7.0.15"), join(cache, "redis/usr/bin/redis-server"));
    const found = await findRedis({ env: { PATH: "" }, cache });
    expect(found.path).toBe(join(cache, "redis/usr/bin/redis-server"));
    expect(found.env).toEqual({ LD_LIBRARY_PATH: join(cache, "redis/usr/lib/x86_64-linux-gnu") });
    expect(process.env["LD_LIBRARY_PATH"]).toBeUndefined();
  });
});
