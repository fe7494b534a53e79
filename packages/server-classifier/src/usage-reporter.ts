import type { ClassifierStore, UsageDelta } from "./classifier-store.ts";
import type { Clock } from "./clock.ts";
import type { ServerUsage, UsageSource } from "./usage-source.ts";

/** Turns a source's totals into deltas and sends them, each counted once. */
export interface UsageReporter {
  /**
   * One round trip; resolves with the store's time. A report without an answer is sent again as it was; what came since is
   * part of the one after it.
   */
  flush(ttlMs: number): Promise<number>;
  /** Whether this replica uses the server now. */
  isActive(serverId: string): boolean;
}

interface Sent {
  uses: number;
  lastUsedAt: number;
}

/** A report as it was first sent, until the store has answered. */
interface Report {
  readonly seq: number;
  readonly news: readonly (Omit<UsageDelta, "ageMs"> & { readonly lastUsedAt: number | undefined })[];
  readonly totals: Map<string, Sent>;
}

/** Makes a {@link UsageReporter} for one replica. */
export function createUsageReporter(
  replicaId: string,
  source: UsageSource,
  store: ClassifierStore,
  clock: Clock,
): UsageReporter {
  let seq = 0;
  let sent = new Map<string, Sent>();
  let active = new Set<string>();
  let unanswered: Report | undefined;

  const newsOf = (now: ServerUsage): Report["news"][number] => {
    const before = sent.get(now.serverId);
    // A total below the last one is a pool that was replaced.
    const uses =
      before === undefined || now.totalUses < before.uses ? now.totalUses : now.totalUses - before.uses;
    const used = now.lastUsedAt > (before?.lastUsedAt ?? 0);
    return {
      serverId: now.serverId,
      uses,
      lastUsedAt: used ? now.lastUsedAt : undefined,
      active: now.activeSessions,
      sessions: now.pooledSessions,
    };
  };
  const reportOf = (current: readonly ServerUsage[]): Report => ({
    seq: ++seq,
    news: current.map(newsOf).filter(isNews),
    totals: new Map(
      current.map((entry) => [entry.serverId, { uses: entry.totalUses, lastUsedAt: entry.lastUsedAt }]),
    ),
  });

  return {
    async flush(ttlMs) {
      const current = source.usage();
      active = new Set(current.filter((entry) => entry.activeSessions > 0).map(({ serverId }) => serverId));
      // Whether one without an answer was counted is not known: the same again, under its number, counts once.
      const report = unanswered ?? reportOf(current);
      unanswered = report;
      const at = clock.wall();
      const entries = report.news.map(({ lastUsedAt, ...rest }) => ({
        ...rest,
        ageMs: lastUsedAt === undefined ? undefined : Math.max(0, at - lastUsedAt),
      }));
      const { now } = await store.report({ replicaId, seq: report.seq, entries, ttlMs });
      sent = report.totals;
      unanswered = undefined;
      return now;
    },
    isActive: (serverId) => active.has(serverId),
  };
}

function isNews({ uses, lastUsedAt, active, sessions }: Report["news"][number]): boolean {
  return uses > 0 || lastUsedAt !== undefined || active > 0 || sessions > 0;
}
