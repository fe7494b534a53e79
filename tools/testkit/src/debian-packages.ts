import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Debian packages to unpack beside the system, without root. */
export interface DebianPackages {
  /** Packages without which the result is useless. */
  required: readonly string[];
  /** Libraries whose names differ between releases; those that do not exist are left out. */
  libraries: readonly string[];
  /** Where the file system of the packages is unpacked; appears whole or not at all. */
  target: string;
}

/**
 * Downloads packages with apt-get (no root needed) and unpacks them into `target`.
 * Without package lists they are fetched into a private state directory first.
 */
export async function unpackDebianPackages({ required, libraries, target }: DebianPackages): Promise<void> {
  const parent = dirname(target);
  await mkdir(parent, { recursive: true });
  const work = await mkdtemp(join(parent, "unpack-"));
  try {
    const archives = join(work, "archives");
    const tree = join(work, "tree");
    await Promise.all([mkdir(archives), mkdir(tree)]);
    const apt = await usableApt(required, work);
    const known = await Promise.all(libraries.map(async (name) => ((await apt.knows(name)) ? [name] : [])));
    await apt.run(["download", ...required, ...known.flat()], archives);
    for (const file of (await readdir(archives)).filter((name) => name.endsWith(".deb"))) {
      await run("dpkg", ["-x", join(archives, file), tree]);
    }
    await rm(target, { recursive: true, force: true });
    await rename(tree, target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

interface Apt {
  run(args: readonly string[], cwd: string): Promise<void>;
  knows(name: string): Promise<boolean>;
}

async function usableApt(required: readonly string[], work: string): Promise<Apt> {
  const system = apt([]);
  const known = await Promise.all(required.map((name) => system.knows(name)));
  if (known.every(Boolean)) return system;
  const lists = join(work, "lists");
  const cache = join(work, "cache");
  await Promise.all([
    mkdir(join(lists, "partial"), { recursive: true }),
    mkdir(join(cache, "archives", "partial"), { recursive: true }),
  ]);
  const own = apt(["-o", `Dir::State::lists=${lists}`, "-o", `Dir::Cache=${cache}`]);
  await own.run(["update"], work);
  return own;
}

function apt(places: readonly string[]): Apt {
  // No separate download user (it cannot write below a private directory) and few, short retries.
  const options = [
    ...places,
    ...["-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15"],
  ];
  return {
    async run(args, cwd) {
      await run("apt-get", ["-q", ...options, ...args], { cwd, timeout: 120_000, maxBuffer: 1 << 24 });
    },
    async knows(name) {
      try {
        const { stdout } = await run("apt-cache", [...options, "policy", name], { timeout: 20_000 });
        return /Candidate: (?!\(none\))/.test(stdout);
      } catch {
        return false;
      }
    },
  };
}
