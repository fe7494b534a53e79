import type { CallRecord } from "./chaos-client.ts";
import type { FaultKind, FaultRecord } from "./fault-plan.ts";

/** A session of a client that went on with another session of the upstream, and so with a number from zero. */
export interface FreshState {
  readonly what: string;
  /** Whether a fault in between ends the sessions of the upstream themselves. */
  readonly excused: boolean;
}

/** Faults after which there is nothing to go on with; after all others the state has to be there, or the client is told. */
const ending: ReadonlySet<FaultKind> = new Set(["upstream killed", "credentials rotated"]);

/** Within this time every replica has to know of a change. Milliseconds. */
const knownAfterMs = 1_000;

/** The sessions of clients whose state began anew between two answers, though the client opened no new session. */
export function freshStatesOf(calls: readonly CallRecord[], faults: readonly FaultRecord[]): FreshState[] {
  const last = new Map<string, CallRecord>();
  const fresh: FreshState[] = [];
  const answered = calls.filter(({ outcome }) => outcome === "ok");
  for (const call of answered.toSorted((one, other) => one.endedMs - other.endedMs)) {
    if (call.clientSession === undefined) continue;
    const before = last.get(call.clientSession);
    last.set(call.clientSession, call);
    if (before === undefined || before.session === call.session) continue;
    const excused = faults.some(({ kind, atMs, healedMs }) => {
      return ending.has(kind) && atMs <= call.endedMs && before.startedMs <= healedMs + knownAfterMs;
    });
    const what = `${call.clientSession} of client ${call.client}: ${before.value} of ${before.session}, then ${call.value} of ${call.session}`;
    fresh.push({ what, excused });
  }
  return fresh;
}
