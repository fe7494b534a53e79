import type { ServerHistory } from "../classification.ts";
import { neverPolled, type PollState } from "../poll-state.ts";
import type { Snapshot } from "../snapshot.ts";
import type { ServerUsage } from "../usage-source.ts";

/** A hash as Redis lists it: field, value, field, value. */
export type FlatHash = readonly string[];

function* pairs(flat: FlatHash): Generator<readonly [string, string]> {
  for (let i = 0; i + 1 < flat.length; i += 2) yield [String(flat[i]), String(flat[i + 1])];
}

/** The snapshot in a hash, or undefined when there is none or it cannot be read. */
export function decodeSnapshot(flat: FlatHash): Snapshot | undefined {
  const servers = new Map<string, ServerHistory>();
  let head: Omit<Snapshot, "servers"> | undefined;
  try {
    for (const [field, value] of pairs(flat)) {
      if (field === "#") head = JSON.parse(value);
      else servers.set(field.slice(1), JSON.parse(value));
    }
  } catch {
    return undefined;
  }
  return head && { version: head.version, epoch: head.epoch, metadata: head.metadata, servers };
}

/** Sums what the replicas reported. */
export function decodeUsage(uses: FlatHash, last: FlatHash, replicas: FlatHash): ServerUsage[] {
  const usage = new Map<
    string,
    { totalUses: number; lastUsedAt: number; activeSessions: number; pooledSessions: number }
  >();
  const entry = (id: string) => {
    const known = usage.get(id) ?? { totalUses: 0, lastUsedAt: 0, activeSessions: 0, pooledSessions: 0 };
    usage.set(id, known);
    return known;
  };
  for (const [id, value] of pairs(uses)) entry(id).totalUses = Number(value) || 0;
  for (const [id, value] of pairs(last)) entry(id).lastUsedAt = Number(value) || 0;
  for (const [, value] of pairs(replicas)) {
    for (const [id, active, sessions] of decodeGauges(value)) {
      const sum = entry(id);
      sum.activeSessions += active;
      sum.pooledSessions += sessions;
    }
  }
  return [...usage].map(([serverId, totals]) => ({ serverId, ...totals }));
}

function decodeGauges(value: string): ReadonlyArray<readonly [string, number, number]> {
  try {
    return JSON.parse(value.slice(value.indexOf("|", value.indexOf("|") + 1) + 1));
  } catch {
    return [];
  }
}

/** The state a script packed. */
export function decodeState(packed: string): PollState {
  const [last, count, failures, retryAt, forcedAt, ttlMs, claimedAt, heldAt, holder = ""] = packed.split("|");
  const numbers = { last, count, failures, retryAt, forcedAt, ttlMs, claimedAt, heldAt };
  const state = neverPolled();
  for (const [field, value] of Object.entries(numbers))
    state[field as keyof typeof numbers] = Number(value) || 0;
  return { ...state, holder };
}
