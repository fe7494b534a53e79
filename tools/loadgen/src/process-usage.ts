import { readdirSync, readFileSync } from "node:fs";

/** What a process has used up to now; absent figures cannot be read on this system. */
export interface ProcessUsage {
  /** User and system time of all its threads since it was started. */
  readonly cpuMicros: number | undefined;
  readonly rssBytes: number | undefined;
}

/** Linux counts process time in ticks of 10 ms (`sysconf(_SC_CLK_TCK)` is 100 on every supported platform). */
const MICROS_PER_TICK = 10_000;
const KIB = 1024;

const readText = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
};

/**
 * Time on a processor of all threads, by the scheduler's own nanoseconds: ticks are too coarse for rounds of a second.
 * Undefined where the kernel keeps none.
 */
function scheduledMicros(pid: number): number | undefined {
  try {
    let nanoseconds = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(readText(`/proc/${pid}/task/${thread}/schedstat`)?.split(" ")[0] ?? Number.NaN);
    }
    return nanoseconds > 0 ? nanoseconds / 1_000 : undefined;
  } catch {
    return undefined;
  }
}

/** Reads `/proc/PID`; on other systems than Linux both figures are absent. */
export function processUsage(pid: number): ProcessUsage {
  const stat = readText(`/proc/${pid}/stat`);
  // The command may contain spaces and brackets; fields are counted after its last bracket.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = fields === undefined ? undefined : Number(fields[11]) + Number(fields[12]);
  const rss = /^VmRSS:\s+(\d+) kB$/m.exec(readText(`/proc/${pid}/status`) ?? "")?.[1];
  return {
    cpuMicros: scheduledMicros(pid) ?? (ticks === undefined ? undefined : ticks * MICROS_PER_TICK),
    rssBytes: rss === undefined ? undefined : Number(rss) * KIB,
  };
}
