import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { promisify } from "node:util";

/** Ids of the processes below `ancestor` whose command line contains `text`. */
export async function descendants(ancestor: number, text: string): Promise<number[]> {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "pid,ppid,args"]);
  const rows = stdout.split("\n").map((line) => line.trim().split(/\s+/));
  const parents = new Map(rows.map(([pid, ppid]) => [Number(pid), Number(ppid)]));
  const isBelow = (pid: number): boolean => {
    for (let at: number | undefined = pid; at !== undefined && at > 1; at = parents.get(at)) {
      if (at === ancestor) return true;
    }
    return false;
  };
  return rows
    .filter((row) => row.slice(2).join(" ").includes(text) && isBelow(Number(row[0])))
    .map((row) => Number(row[0]));
}

/**
 * Milliseconds that the threads of a process have been ready to run and got no processor (Linux; 0 elsewhere). Taken off
 * a time that was measured, it leaves what the process took by itself, whatever else the machine did meanwhile.
 */
export function queuedMs(pid: number): number {
  return threadsOf(pid).reduce((sum, thread) => sum + runDelayMs(`/proc/${pid}/task/${thread}/schedstat`), 0);
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** The second figure of a schedstat file; 0 for a thread that has ended meanwhile. */
function runDelayMs(file: string): number {
  try {
    return Number(readFileSync(file, "utf8").split(" ")[1]) / 1e6;
  } catch {
    return 0;
  }
}
