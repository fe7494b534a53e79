import { execFile } from "node:child_process";
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
