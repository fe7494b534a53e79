import type { CallRecord } from "./chaos-client.ts";
import type { FaultRecord } from "./fault-plan.ts";

/** How long a fault kept its clients waiting. Milliseconds. */
export interface Recovery {
  /** Clients that had an answer again. */
  readonly clients: number;
  /** Until the median client had one. */
  readonly medianMs: number;
  /** Until the last one had. */
  readonly longestMs: number;
}

/**
 * The time from a fault to the first answer that each client had afterwards, of those whose session it concerned. A
 * client that was not calling then, and was answered at the first try when it did, waited for its answer only. What goes
 * wrong with a client later belongs to another fault, or to the machine.
 */
export function recoveryOf(fault: FaultRecord, calls: readonly CallRecord[]): Recovery {
  const concerned = fault.clients === undefined ? undefined : new Set(fault.clients);
  const first = new Map<number, CallRecord>();
  for (const call of calls) {
    const { client, outcome, refusals, startedMs, endedMs } = call;
    // An answer that was under way when the fault came says nothing about what came after.
    const after = endedMs > fault.atMs && (startedMs >= fault.atMs || refusals.length > 0);
    if (outcome !== "ok" || !after || concerned?.has(client) === false) continue;
    if (endedMs < (first.get(client)?.endedMs ?? Number.POSITIVE_INFINITY)) first.set(client, call);
  }
  const waits = [...first.values()]
    .map(({ refusals, startedMs, endedMs }) => endedMs - (refusals.length > 0 ? fault.atMs : startedMs))
    .sort((one, other) => one - other);
  return { clients: waits.length, medianMs: waits[waits.length >> 1] ?? 0, longestMs: waits.at(-1) ?? 0 };
}
