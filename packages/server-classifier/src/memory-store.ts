import type { ClassifierStore, StoreEvent, UsageReport } from "./classifier-store.ts";
import { dueAt, endPoll, isClaimed, neverPolled, type PollState, recollect } from "./poll-state.ts";
import type { Snapshot } from "./snapshot.ts";
import type { ServerUsage } from "./usage-source.ts";

/** What a memory store needs. */
export interface MemoryStoreOptions {
  /** Epoch milliseconds. Default `Date.now`. */
  readonly now?: () => number;
  /** Poll states kept at most; the ones not touched longest go first. Default 100 000. */
  readonly maxScopes?: number;
}

interface Replica {
  seq: number;
  expiresAt: number;
  entries: UsageReport["entries"];
}

/** The store of a process that is alone: it leads itself. Several classifiers may share one in a test. */
export function createMemoryStore({
  now = Date.now,
  maxScopes = 100_000,
}: MemoryStoreOptions = {}): ClassifierStore {
  const listeners = new Set<(event: StoreEvent) => void>();
  const totals = new Map<string, { uses: number; lastUsedAt: number }>();
  const replicas = new Map<string, Replica>();
  const polls = new Map<string, PollState>();
  let lease = { holder: "", until: 0 };
  let epoch = 0;
  let snapshot: (Snapshot & { readonly until: number }) | undefined;

  const tell = (event: StoreEvent) => {
    for (const listener of [...listeners]) listener(event);
  };
  const current = (): Snapshot | undefined => {
    if (snapshot === undefined || snapshot.until <= now()) return undefined;
    const { until: _, ...published } = snapshot;
    return published;
  };
  const stateOf = (scope: string): PollState => {
    const state = polls.get(scope) ?? neverPolled();
    polls.delete(scope);
    polls.set(scope, state);
    if (polls.size > maxScopes) for (const oldest of polls.keys()) if (polls.delete(oldest)) break;
    return state;
  };

  return {
    async acquire(instanceId, leaseMs, epochSeen) {
      const at = now();
      const free = lease.until <= at;
      if (free || epochSeen > epoch) epoch = Math.max(epoch, epochSeen) + 1;
      if (free || lease.holder === instanceId) lease = { holder: instanceId, until: at + leaseMs };
      return { leader: lease.holder === instanceId, epoch, expiresInMs: lease.until - at, now: at };
    },
    async release(instanceId) {
      if (lease.holder !== instanceId || lease.until <= now()) return false;
      lease = { holder: "", until: 0 };
      tell("released");
      return true;
    },
    async report({ replicaId, seq, entries, ttlMs }) {
      const at = now();
      if (seq <= (replicas.get(replicaId)?.seq ?? 0)) return { now: at };
      replicas.set(replicaId, { seq, expiresAt: at + ttlMs, entries });
      for (const { serverId, uses, ageMs } of entries) {
        const total = totals.get(serverId) ?? { uses: 0, lastUsedAt: 0 };
        total.uses += uses;
        if (ageMs !== undefined) total.lastUsedAt = Math.max(total.lastUsedAt, at - ageMs);
        totals.set(serverId, total);
      }
      return { now: at };
    },
    async collect() {
      const at = now();
      const gauges = new Map<string, { active: number; sessions: number }>();
      for (const [id, replica] of replicas) {
        if (replica.expiresAt <= at) replicas.delete(id);
        else sumGauges(gauges, replica.entries);
      }
      const usage = [...totals].map(([serverId, total]): ServerUsage => {
        const { active, sessions } = gauges.get(serverId) ?? { active: 0, sessions: 0 };
        const { lastUsedAt, uses: totalUses } = total;
        return { serverId, lastUsedAt, totalUses, activeSessions: active, pooledSessions: sessions };
      });
      return { usage, snapshot: current(), now: at };
    },
    async publish({ epoch: claimed, versionSeen, classification, ttlMs }) {
      const at = now();
      if (claimed < epoch) return { accepted: false, snapshot: current(), now: at };
      epoch = claimed;
      const version = Math.max(versionSeen, snapshot?.version ?? 0) + 1;
      const { metadata, history } = classification;
      snapshot = { version, epoch, metadata, servers: history, until: at + ttlMs };
      for (const id of totals.keys()) if (!history.has(id)) totals.delete(id);
      tell("published");
      return { accepted: true, snapshot: current(), now: at };
    },
    async read() {
      return { snapshot: current(), now: now() };
    },
    async claim(requests, limit = requests.length) {
      const at = now();
      let left = limit;
      const replies = requests.map(({ scope, token, pace, claimMs, known }) => {
        const state = stateOf(scope);
        recollect(state, known, at);
        const granted = left > 0 && !isClaimed(state, claimMs, at) && dueAt(state, pace, at) <= at;
        if (granted) {
          left--;
          state.claimedAt = at;
          state.heldAt = at;
          state.holder = token;
        }
        return { granted, state: { ...state } };
      });
      return { replies, now: at };
    },
    async finish(records) {
      const at = now();
      const states = records.map(({ scope, ending }) => {
        const state = stateOf(scope);
        endPoll(state, ending, at);
        return { ...state };
      });
      return { states, now: at };
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      listeners.clear();
    },
  };
}

function sumGauges(
  gauges: Map<string, { active: number; sessions: number }>,
  entries: UsageReport["entries"],
): void {
  for (const { serverId, active, sessions } of entries) {
    const sum = gauges.get(serverId) ?? { active: 0, sessions: 0 };
    sum.active += active;
    sum.sessions += sessions;
    gauges.set(serverId, sum);
  }
}
