/**
 * Which history of the database is the valid one. Timelines grow with every promotion; two standbys promoted
 * apart share timeline and system identifier, therefore each writes a branch of its own.
 */
export interface Fence {
  /** How often operators have overruled the history: what was seen before does not count any more. */
  readonly era: number;
  /** Identifies the cluster that all copies descend from; empty where nothing was seen in this era. */
  readonly systemIdentifier: string;
  /** Timeline of the server that may be written to; 0 where nothing was seen in this era. */
  readonly timeline: number;
  /**
   * A uuid that the first writer on a timeline leaves in the table `gatewright_fence`; empty while the timeline was only
   * seen, and nobody is known to have written on it.
   */
  readonly branch: string;
}

/** Remembers the highest fence, for all replicas and over restarts. */
export interface FenceStore {
  /** The fence in force, if there is one. */
  read(): Promise<Fence | undefined>;
  /**
   * Puts `fence` in force if there is none yet or it is higher, in one step; returns the one in force afterwards.
   * On the same timeline the first branch wins, over none too.
   */
  raise(fence: Fence): Promise<Fence>;
  /**
   * An operator's decision: begins an era after the one in force and after `era`, in which nothing was seen. Returns
   * what is in force afterwards.
   */
  overrule(era: number): Promise<Fence>;
}

/** A store for one process. */
export function createMemoryFenceStore(): FenceStore {
  let current: Fence | undefined;
  return {
    read: async () => current,
    raise: async (fence) => {
      if (!current || isHigher(fence, current)) current = fence;
      return current;
    },
    overrule: async (era) => {
      current = unseenIn(Math.max(era, current?.era ?? 0) + 1);
      return current;
    },
  };
}

/** What is in force at the begin of an era. */
export function unseenIn(era: number): Fence {
  return { era, systemIdentifier: "", timeline: 0, branch: "" };
}

/** Whether `a` supersedes `b`: a later era, else a later timeline of the same cluster, else its first branch. */
export function isHigher(a: Fence, b: Fence): boolean {
  if (a.era !== b.era) return a.era > b.era;
  if (b.timeline === 0) return a.timeline > 0;
  if (a.systemIdentifier !== b.systemIdentifier) return false;
  return a.timeline > b.timeline || (a.timeline === b.timeline && b.branch === "" && a.branch !== "");
}

/** Whether both name the same history. */
export function isSame(a: Fence, b: Fence): boolean {
  return isSameTimeline(a, b) && a.systemIdentifier === b.systemIdentifier && a.branch === b.branch;
}

/** Whether both are of one timeline, and differ in the branch at most. */
export function isSameTimeline(a: Fence, b: Fence): boolean {
  return a.era === b.era && a.timeline === b.timeline;
}
