import { mkdtemp, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeDirectoryAtExit } from "./lifeline.ts";

/** Linux's file system in memory. */
const memory = "/dev/shm";
const tmpfs = 0x01_02_19_94;
/** What has to be free there, for all servers of a run together. */
const neededBytes = 2 * 1024 ** 3;

/** A directory of a server's own. */
export interface ScratchDirectory {
  readonly path: string;
  readonly inMemory: boolean;
}

/**
 * Makes a directory that goes with this process: in memory where the machine has room for that and nothing has to outlive
 * it, else where temporary files go. A disk that is busy makes a server take ten times as long to start.
 */
export async function makeScratchDirectory(
  prefix: string,
  { durable = false }: { readonly durable?: boolean } = {},
): Promise<ScratchDirectory> {
  const inMemory = !durable && (await hasMemory());
  const path = await mkdtemp(join(inMemory ? memory : tmpdir(), prefix));
  removeDirectoryAtExit(path);
  return { path, inMemory };
}

async function hasMemory(): Promise<boolean> {
  try {
    const { type, bavail, bsize } = await statfs(memory);
    return type === tmpfs && bavail * bsize >= neededBytes;
  } catch {
    return false;
  }
}
