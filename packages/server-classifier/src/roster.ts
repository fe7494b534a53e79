import type { ServerHistory } from "./classification.ts";
import type { KnownServer } from "./known-server.ts";
import type { ServerUsage } from "./usage-source.ts";

/** A server's history while a run fills it in. */
export type Entry = { -readonly [Field in keyof ServerHistory]: ServerHistory[Field] };

/** One server of a run. */
export interface Candidate {
  readonly server: KnownServer;
  /** Of the run before. */
  readonly past: ServerHistory | undefined;
  /** What becomes its history. */
  readonly entry: Entry;
}

/** The servers of a run: one map and one entry per server, filled in place and handed out as the result. */
export interface Roster {
  readonly history: ReadonlyMap<string, Entry>;
  readonly candidates: readonly Candidate[];
}

/**
 * Enters the enabled servers, of those with one id the last, with their use summed over replicas and pools: the latest time, and totals
 * of the rest. Use of unknown servers is skipped, and so are numbers that are none.
 */
export function createRoster(
  servers: Iterable<KnownServer>,
  usage: Iterable<ServerUsage>,
  now: number,
  before: ReadonlyMap<string, ServerHistory>,
): Roster {
  const history = new Map<string, Entry>();
  const all: Candidate[] = [];
  for (const server of servers) {
    if (server.enabled === false) continue;
    const past = before.get(server.id);
    const entry = newEntry(now, past);
    history.set(server.id, entry);
    all.push({ server, past, entry });
  }
  for (const { serverId, lastUsedAt, activeSessions, totalUses } of usage) {
    const entry = history.get(serverId);
    if (entry === undefined) continue;
    if (lastUsedAt > entry.lastUsedAt && lastUsedAt < Number.POSITIVE_INFINITY) entry.lastUsedAt = lastUsedAt;
    entry.active += counted(activeSessions);
    entry.uses += counted(totalUses);
  }
  const last = ({ server, entry }: Candidate) => history.get(server.id) === entry;
  return { history, candidates: all.length === history.size ? all : all.filter(last) };
}

function newEntry(now: number, past: ServerHistory | undefined): Entry {
  return {
    tier: "cold",
    since: now,
    outRuns: 0,
    decayed: 0,
    uses: 0,
    updatedAt: now,
    firstSeenAt: past === undefined ? now : past.firstSeenAt,
    score: 0,
    rank: 0,
    lastUsedAt: 0,
    active: 0,
    why: "",
  };
}

function counted(value: number): number {
  return value > 0 && value < Number.POSITIVE_INFINITY ? value : 0;
}
