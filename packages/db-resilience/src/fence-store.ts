/**
 * Which history of the database is the valid one. Timelines grow with every promotion; two standbys promoted
 * apart share timeline and system identifier, therefore each writes a branch of its own.
 */
export interface Fence {
  /** Identifies the cluster that all copies descend from. */
  readonly systemIdentifier: string;
  /** Timeline of the server that may be written to. */
  readonly timeline: number;
  /** A uuid that the first writer on a timeline leaves in the table `gatewright_fence`. */
  readonly branch: string;
}

/** Remembers the highest fence, for all replicas and over restarts. */
export interface FenceStore {
  /** The fence in force, if there is one. */
  read(): Promise<Fence | undefined>;
  /**
   * Puts `fence` in force if there is none yet or it has a higher timeline, in one step; returns the one in
   * force afterwards. On the same timeline the first branch wins.
   */
  raise(fence: Fence): Promise<Fence>;
  /** Puts `fence`, or none, in force whatever was there: an operator's decision. */
  reset(fence?: Fence): Promise<void>;
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
    reset: async (fence) => {
      current = fence;
    },
  };
}

/** Whether `a` supersedes `b`: a later timeline of the same cluster. */
export function isHigher(a: Fence, b: Fence): boolean {
  return a.systemIdentifier === b.systemIdentifier && a.timeline > b.timeline;
}

/** Whether both name the same history. */
export function isSame(a: Fence, b: Fence): boolean {
  return a.systemIdentifier === b.systemIdentifier && a.timeline === b.timeline && a.branch === b.branch;
}
