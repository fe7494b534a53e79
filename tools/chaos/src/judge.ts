import type { CallRecord } from "./chaos-client.ts";
import type { Execution } from "./chaos-upstream.ts";
import { type FaultKind, type FaultRecord, faultKinds } from "./fault-plan.ts";
import { freshStatesOf } from "./fresh-states.ts";
import { type Recovery, recoveryOf } from "./recovery.ts";

/** What a run showed. */
export interface Verdict {
  readonly calls: number;
  readonly ok: number;
  readonly unknown: number;
  readonly failed: number;
  /** Calls that were refused at least once before they succeeded. */
  readonly retried: number;
  /** Sessions of the upstream that more than one client's calls reached, and answers with another's number. */
  readonly crossTalk: readonly string[];
  /** Answers whose call was not executed, or that tell another number than was reached. */
  readonly lostUpdates: readonly string[];
  readonly executedTwice: readonly string[];
  /** Sessions of clients that lost their state without being told, and without a fault that takes it. */
  readonly begunAnew: readonly string[];
  /** Sessions of clients that lost it with the upstream, or with its credentials. */
  readonly begunAnewByFault: number;
  /** Clients whose session did not work once all was healed. */
  readonly stuck: readonly number[];
  /** Unknown outcomes that were executed after all. */
  readonly unknownExecuted: number;
  readonly faults: Readonly<Record<FaultKind, number>>;
  /** What followed each fault, in their order. */
  readonly recoveries: readonly (Recovery & { readonly kind: FaultKind })[];
  /** The answered call that took longest, refusals included. */
  readonly slowest: CallRecord | undefined;
  /** Why calls were refused or lost, with how often. */
  readonly reasons: Readonly<Record<string, number>>;
}

/** Compares what clients were told with what the upstream did. */
export function judge(
  calls: readonly CallRecord[],
  executions: ReadonlyMap<string, readonly Execution[]>,
  faults: readonly FaultRecord[],
  stuck: readonly number[],
): Verdict {
  const clientOf = new Map<string, string>();
  const crossTalk: string[] = [];
  const lostUpdates: string[] = [];
  for (const [key, [first]] of executions) {
    if (first === undefined) continue;
    const client = key.split(":")[0] ?? "";
    const known = clientOf.get(first.session) ?? client;
    clientOf.set(first.session, known);
    if (known !== client) crossTalk.push(`session ${first.session} of ${known} was used by ${client}`);
  }
  for (const { key, client, outcome, session, value, amount } of calls) {
    if (outcome !== "ok") continue;
    const done = executions.get(key)?.find((execution) => execution.session === session);
    if (clientOf.get(session ?? "") !== String(client)) crossTalk.push(`${key} was answered from ${session}`);
    else if (done === undefined) lostUpdates.push(`${key} was answered and not executed`);
    else if (done.value !== value || done.amount !== amount)
      lostUpdates.push(`${key}: ${value}, not ${done.value}`);
  }
  const count = (outcome: CallRecord["outcome"]) => calls.filter((call) => call.outcome === outcome).length;
  const reasons: Record<string, number> = {};
  for (const reason of calls.flatMap(({ refusals }) => refusals))
    reasons[reason] = (reasons[reason] ?? 0) + 1;
  const ofKind = <T>(read: (kind: FaultKind) => T) =>
    Object.fromEntries(faultKinds.map((kind) => [kind, read(kind)])) as Record<FaultKind, T>;
  const fresh = freshStatesOf(calls, faults);
  return {
    calls: calls.length,
    ok: count("ok"),
    unknown: count("unknown"),
    failed: count("failed"),
    retried: calls.filter(({ outcome, refusals }) => outcome === "ok" && refusals.length > 0).length,
    crossTalk,
    lostUpdates,
    executedTwice: [...executions].filter(([, list]) => list.length > 1).map(([key]) => key),
    begunAnew: fresh.filter(({ excused }) => !excused).map(({ what }) => what),
    begunAnewByFault: fresh.filter(({ excused }) => excused).length,
    stuck,
    unknownExecuted: calls.filter(({ outcome, key }) => outcome === "unknown" && executions.has(key)).length,
    faults: ofKind((kind) => faults.filter((fault) => fault.kind === kind).length),
    recoveries: faults.map((fault) => ({ kind: fault.kind, ...recoveryOf(fault, calls) })),
    slowest: calls
      .filter(({ outcome }) => outcome === "ok")
      .reduce<CallRecord | undefined>((one, other) => (lasted(one) > lasted(other) ? one : other), undefined),
    reasons,
  };
}

function lasted(call: CallRecord | undefined): number {
  return call === undefined ? 0 : call.endedMs - call.startedMs;
}
