import { chmodSync, closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { GatewayError } from "../errors.ts";

/**
 * Sees to it that only its owner may read and write a file; `make` makes it, and its folder, when it is not there.
 *
 * @throws {GatewayError} `db_unavailable` naming the path and the cause
 */
export function privateFile(path: string, make: boolean): void {
  if (make) privateFolder(dirname(path));
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) {
      if (make) closeSync(openSync(path, "a", 0o600));
    } else if (found.isFile() && (found.mode & 0o077) !== 0) tighten(path);
  } catch (cause) {
    throw fileTrouble(path, "file", cause);
  }
}

/**
 * Makes a folder, and those above it, where they are not there. One by one: the recursive form never returns in a file
 * system that says of each new folder that there is none.
 *
 * @throws {GatewayError} `db_unavailable` naming the path and the cause
 */
export function privateFolder(path: string): void {
  const missing: string[] = [];
  try {
    let at = resolve(path);
    for (;;) {
      const found = statSync(at, { throwIfNoEntry: false });
      if (found?.isDirectory() === true) break;
      if (found !== undefined) throw Object.assign(new Error("it is a file"), { code: "ENOTDIR" });
      missing.unshift(at);
      at = dirname(at);
    }
    for (const folder of missing) make(folder);
  } catch (cause) {
    throw fileTrouble(path, "data folder", cause);
  }
}

function make(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    // Another process that starts at the same time made it.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

function tighten(path: string): void {
  try {
    chmodSync(path, 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EPERM" && code !== "EROFS") throw error;
    throw new Error(`others may read it and it is not this user's; make its mode 600 (${code})`);
  }
}

const causes: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  ENOENT: "it cannot be made there",
  ENOTDIR: "a part of the path is a file, not a folder",
  EISDIR: "it is a folder, not a file",
};

/** The refusal of a path that cannot be used: one sentence with the path and the cause. */
export function fileTrouble(path: string, what: string, cause: unknown): GatewayError {
  if (GatewayError.is(cause)) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  const known = code === undefined ? undefined : causes[code];
  const reason = known === undefined ? message : `${known} (${code})`;
  return new GatewayError("db_unavailable", `${path} cannot be used as the ${what}: ${reason}`, { cause });
}
