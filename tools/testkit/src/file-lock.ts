import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive } from "./reserve-port.ts";

/**
 * Runs `work` while holding a lock file that names this process, so that of several test processes only one
 * downloads or prepares something. A lock whose owner has died is taken over.
 *
 * @param timeoutMs how long to wait for another holder; default three minutes.
 */
export async function withFileLock<T>(path: string, work: () => Promise<T>, timeoutMs = 180_000): Promise<T> {
  mkdirSync(dirname(path), { recursive: true });
  const deadline = performance.now() + timeoutMs;
  while (!take(path)) {
    if (performance.now() > deadline) throw new Error(`Gave up waiting for the lock ${path}.`);
    await sleep(50);
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

function take(path: string): boolean {
  try {
    writeFileSync(path, String(process.pid), { flag: "wx" });
    return true;
  } catch {
    if (isStale(path)) rmSync(path, { force: true });
    return false;
  }
}

function isStale(path: string): boolean {
  try {
    const owner = Number(readFileSync(path, "utf8"));
    // An empty file belongs to a process that is just writing its id, or died doing so.
    if (owner === 0) return Date.now() - statSync(path).mtimeMs > 5_000;
    return !isAlive(owner);
  } catch {
    return false;
  }
}
