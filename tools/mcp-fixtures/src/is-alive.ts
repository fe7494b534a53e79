import { readFileSync } from "node:fs";

/**
 * Whether a process still runs. One that has ended but was not yet reaped by its parent (a container's first
 * process may never do so) is not alive, although signal 0 still reaches it.
 */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat[stat.lastIndexOf(")") + 2] !== "Z";
  } catch {
    return process.platform !== "linux";
  }
}
