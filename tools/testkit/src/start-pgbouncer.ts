import { access, chmod, chown, constants, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { cacheDirectory } from "./cache-directory.ts";
import { unpackDebianPackages } from "./debian-packages.ts";
import { withFileLock } from "./file-lock.ts";
import { removeDirectoryAtExit } from "./lifeline.ts";
import { findPostgres } from "./postgres-binaries.ts";
import { reservePort } from "./reserve-port.ts";
import { startServerProcess } from "./server-process.ts";
import type { PostgresServer } from "./start-postgres.ts";

/** Options of {@link startPgBouncer}. */
export interface StartPgBouncerOptions {
  /** Default transaction. */
  mode?: "session" | "transaction";
  /** Connections to the server; default 3. */
  poolSize?: number;
  /** More lines of its configuration, e.g. `{ query_wait_timeout: 1 }`. */
  settings?: Readonly<Record<string, string | number>>;
}

/** A PgBouncer in front of a server. It dies with the test process. */
export interface PgBouncer {
  readonly host: string;
  readonly port: number;
  logs(): string;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Finds PgBouncer on PATH or unpacks Debian's package into the cache, like redis-server. */
export async function findPgBouncer(): Promise<{ path: string; env: Readonly<Record<string, string>> }> {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter).concat("/usr/sbin")) {
    if (await isExecutable(join(folder, "pgbouncer"))) return { path: join(folder, "pgbouncer"), env: {} };
  }
  const tree = join(cacheDirectory, "pgbouncer");
  const path = join(tree, "usr/sbin/pgbouncer");
  await withFileLock(join(cacheDirectory, "pgbouncer.lock"), async () => {
    if (await isExecutable(path)) return;
    await unpackDebianPackages({
      required: ["pgbouncer"],
      libraries: ["libevent-2.1-7", "libevent-2.1-7t64", "libc-ares2", "libssl3", "libssl3t64"],
      target: tree,
    }).catch((cause: unknown) => {
      throw new Error("The tests need pgbouncer: install it (Debian: apt-get install pgbouncer).", { cause });
    });
  });
  const folders = await readdir(join(tree, "usr/lib"), { withFileTypes: true });
  const libraries = folders
    .filter((entry) => entry.isDirectory() && entry.name.includes("-linux-"))
    .map((entry) => join(tree, "usr/lib", entry.name));
  return { path, env: { LD_LIBRARY_PATH: libraries.join(delimiter) } };
}

/** Starts PgBouncer on a free port of 127.0.0.1; every user and database is passed on to the server. */
export async function startPgBouncer(
  server: PostgresServer,
  options: StartPgBouncerOptions = {},
): Promise<PgBouncer> {
  const [{ path, env }, { identity }, reservation] = await Promise.all([
    findPgBouncer(),
    findPostgres(),
    reservePort(),
  ]);
  const directory = await mkdtemp(join(tmpdir(), "gatewright-pgbouncer-"));
  removeDirectoryAtExit(directory);
  const file = join(directory, "pgbouncer.ini");
  const settings = {
    listen_addr: "127.0.0.1",
    listen_port: reservation.port,
    unix_socket_dir: "",
    auth_type: "any",
    pool_mode: options.mode ?? "transaction",
    default_pool_size: options.poolSize ?? 3,
    ignore_startup_parameters: "extra_float_digits",
    ...options.settings,
  };
  const lines = [
    "[databases]",
    `* = host=${server.host} port=${server.port} user=${server.user} password=${server.password}`,
    "[pgbouncer]",
    ...Object.entries(settings).map(([key, value]) => `${key} = ${value}`),
    "",
  ];
  await writeFile(file, lines.join("\n"));
  await chmod(directory, 0o755);
  if (identity) await chown(directory, identity.uid, identity.gid);
  const bouncer = await startServerProcess({
    command: path,
    args: [file],
    env: { ...process.env, ...env },
    cwd: directory,
    ...identity,
  });
  let closed: Promise<void> | undefined;
  const shutDown = async () => {
    await bouncer.end("SIGKILL");
    await rm(directory, { recursive: true, force: true });
    reservation.release();
  };
  const close = () => {
    closed ??= shutDown();
    return closed;
  };
  try {
    await bouncer.waitForOutput(/process up/);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    host: "127.0.0.1",
    port: reservation.port,
    logs: () => bouncer.logs(),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
