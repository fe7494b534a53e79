import { execFile } from "node:child_process";
import { access, constants, readdir } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { cacheDirectory } from "./cache-directory.ts";
import { unpackDebianPackages } from "./debian-packages.ts";
import { withFileLock } from "./file-lock.ts";

const run = promisify(execFile);

/** A redis-server that runs on this machine, and the environment it needs. */
export interface RedisBinary {
  readonly path: string;
  /** LD_LIBRARY_PATH of an unpacked server; empty for an installed one. */
  readonly env: Readonly<Record<string, string>>;
}

export interface RedisBinaryOptions {
  env?: NodeJS.ProcessEnv;
  /** Where a downloaded server is kept. */
  cache?: string;
}

/**
 * Finds redis-server: REDIS_SERVER, PATH, the cache, a download of Debian's packages into the cache (no root
 * needed), an installation when root.
 *
 * @throws Error with one sentence that says what to install.
 */
export async function findRedis(options: RedisBinaryOptions = {}): Promise<RedisBinary> {
  const env = options.env ?? process.env;
  const cache = options.cache ?? cacheDirectory;
  if (env["REDIS_SERVER"]) {
    const named = await works(env["REDIS_SERVER"]);
    if (named) return named;
    throw new Error(`REDIS_SERVER names ${env["REDIS_SERVER"]}, which is not a redis-server that runs.`);
  }
  const ready = (await installed(env)) ?? (await unpacked(cache));
  if (ready) return ready;
  return withFileLock(join(cache, "redis.lock"), async () => {
    const byAnother = await unpacked(cache);
    if (byAnother) return byAnother;
    const found = (await download(cache)) ?? (await install(env));
    if (found) return found;
    throw new Error(
      "The tests need redis-server 7 or newer: install it (Debian: apt-get install redis-server) or set REDIS_SERVER to its path.",
    );
  });
}

async function installed(env: NodeJS.ProcessEnv): Promise<RedisBinary | undefined> {
  for (const folder of (env["PATH"] ?? "").split(delimiter).filter(Boolean)) {
    const found = await works(join(folder, "redis-server"));
    if (found) return found;
  }
  return undefined;
}

async function unpacked(cache: string): Promise<RedisBinary | undefined> {
  const tree = join(cache, "redis");
  const libraries = join(tree, "usr/lib");
  const folders = await readdir(libraries, { withFileTypes: true }).catch(() => []);
  const path = folders
    .filter((entry) => entry.isDirectory() && entry.name.includes("-linux-"))
    .map((entry) => join(libraries, entry.name))
    .join(delimiter);
  return works(join(tree, "usr/bin/redis-server"), { LD_LIBRARY_PATH: path });
}

async function download(cache: string): Promise<RedisBinary | undefined> {
  try {
    await unpackDebianPackages({
      required: ["redis-server", "redis-tools"],
      libraries: ["libatomic1", "libjemalloc2", "liblzf1", "libssl3", "libssl3t64", "liblua5.1-0"],
      target: join(cache, "redis"),
    });
  } catch {
    return undefined; // No apt, no network, no such package: the next way is tried.
  }
  return unpacked(cache);
}

async function install(env: NodeJS.ProcessEnv): Promise<RedisBinary | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  try {
    await run("apt-get", ["install", "-y", "-q", "--no-install-recommends", "redis-server"], {
      env: { ...env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" },
      timeout: 120_000,
    });
  } catch {
    return undefined;
  }
  return installed(env);
}

async function works(path: string, env: Record<string, string> = {}): Promise<RedisBinary | undefined> {
  try {
    await access(path, constants.X_OK);
    const { stdout } = await run(path, ["--version"], { env: { ...process.env, ...env }, timeout: 10_000 });
    return /Redis server v=([7-9]|\d\d)\./.test(stdout) ? { path, env } : undefined;
  } catch {
    return undefined;
  }
}
