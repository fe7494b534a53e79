import { readFileSync } from "node:fs";

/**
 * Begins to count for how long the calling thread, and the first threads of these processes, are ready to run and have
 * no processor: what a busy machine adds to a time that is measured here, by no fault of the one who answers.
 *
 * @returns what was waited since, in milliseconds; 0 where the kernel keeps no such count
 */
export function countCpuWaits(...pids: readonly number[]): () => number {
  const begun = pids.map(waitedMs);
  const own = waitedMs("thread-self");
  return () =>
    pids.reduce(
      // Less than at the beginning is another process, or none.
      (sum, pid, index) => sum + Math.max(0, waitedMs(pid) - (begun[index] ?? 0)),
      Math.max(0, waitedMs("thread-self") - own),
    );
}

/** What the scheduler has counted for a thread since it began. */
function waitedMs(thread: number | "thread-self"): number {
  try {
    // Time on a processor, time ready without one (both in nanoseconds), number of slices.
    return Number(readFileSync(`/proc/${thread}/schedstat`, "utf8").split(" ")[1]) / 1e6;
  } catch {
    return 0;
  }
}
