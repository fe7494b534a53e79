import type { Mode } from "@gatewright/plugin-framework";
import type { Call, Ruling } from "./call.ts";
import type { Switch } from "./run-switches.ts";

/** Decisions of one switch, judged. */
export interface Judgement {
  /** Calls that began after `converged: true` and ended before the next switch. */
  readonly judged: number;
  /** How many of them were decided under an older mode. */
  readonly stale: number;
  /** How many of them were refused because Redis did not answer. */
  readonly degraded: number;
  readonly failed: number;
  /** Calls that began more than a lease after the commit, converged or not, and were decided under an older mode. */
  readonly staleAfterLease: number;
  /** Milliseconds from the request to the beginning of the last call that was decided under the old mode; 0: none. */
  readonly lastOldMs: number;
}

/** How long a replica may go on without a look at the record. */
export const LEASE_MS = 1_000;

/**
 * What contradicts a mode. Without headers under `enforce` the limiter was not asked, so it was off there; refused or
 * charged under `disabled`, it was on. Under `permissive` at its limit a call looks like one without a limiter.
 */
const contradicts: Readonly<Record<Mode, ReadonlySet<Ruling>>> = {
  enforce: new Set<Ruling>(["free"]),
  disabled: new Set<Ruling>(["limited", "charged"]),
  permissive: new Set<Ruling>(["limited"]),
};

/** Judges every call that belongs to a switch. */
export function judge(change: Switch, calls: readonly Call[]): Judgement {
  const wrong = contradicts[change.to];
  const { sentAt, committedAt, convergedAt, until } = change;
  const own = calls.filter((call) => call.startedAt >= sentAt && call.endedAt <= until);
  const after = own.filter((call) => convergedAt !== undefined && call.startedAt >= convergedAt);
  const isOld = ({ ruling }: Call) => wrong.has(ruling);
  const leased = own.filter((call) => committedAt !== undefined && call.startedAt > committedAt + LEASE_MS);
  return {
    judged: after.length,
    stale: after.filter(isOld).length,
    degraded: after.filter(({ ruling }) => ruling === "degraded").length,
    failed: after.filter(({ ruling }) => ruling === "failed").length,
    staleAfterLease: leased.filter(isOld).length,
    lastOldMs: own.filter(isOld).reduce((last, call) => Math.max(last, call.startedAt - sentAt), 0),
  };
}
