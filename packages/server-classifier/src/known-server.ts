/** A server as the registry knows it. */
export interface KnownServer {
  /** Stable id; the only name that goes into keys and logs. */
  readonly id: string;
  /** Canonical address, for the last tie-break only. Default: the id. */
  readonly url?: string;
  /** Default true. Disabled servers are left out. */
  readonly enabled?: boolean;
  /** Tier fixed by the operator; wins over `ranking.pins`. The preset `contextforge` knows none. */
  readonly tier?: Tier | undefined;
}

/** How much a server is used, hottest first. */
export type Tier = "hot" | "warm" | "cold" | "dormant";
