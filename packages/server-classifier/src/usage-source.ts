/** How one server is used by one replica, summed over its pooled sessions; probes do not count. */
export interface ServerUsage {
  /** Stable id from the registry. Never a URL with credentials. */
  readonly serverId: string;
  /** Latest use over all sessions, idle and active, epoch milliseconds; 0 means never. */
  readonly lastUsedAt: number;
  /** Sessions in use now. */
  readonly activeSessions: number;
  /** Uses since the source started; only grows. */
  readonly totalUses: number;
  /** Sessions that wait in the pool. */
  readonly pooledSessions: number;
}

/**
 * Where the classifier learns of use. A session pool satisfies it with `usage()`; the classifier never
 * looks into a pool.
 */
export interface UsageSource {
  /** A snapshot, one entry per server that has or had sessions. */
  usage(): readonly ServerUsage[];
}
