import { randomUUID } from "node:crypto";
import { PluginError } from "../errors.ts";
import type { Mode } from "../mode.ts";
import type { ModeState } from "../mode-state.ts";
import { pause, within } from "../within.ts";
import type { Guarantee } from "./control-bus.ts";
import type { ControlPlane } from "./control-plane.ts";
import { type ControlRecord, endOf, modeUnder, scopeText } from "./control-record.ts";
import {
  type Acknowledgement,
  type ConvergenceReport,
  latencies,
  needed,
  type SetModeOptions,
} from "./convergence-report.ts";
import { isProgrammingError } from "./is-programming-error.ts";

/** One switch, as the pipeline hands it over. */
export interface Switch {
  readonly state: ModeState;
  readonly mode: Mode | "inherit";
  /** What the override covers now: binding or file, and for a tenant the global override. */
  readonly inherited: () => Mode;
  /** Modes in force now for those whom this switch concerns though its record is not theirs. */
  readonly others: () => ReadonlyMap<string, Mode>;
  /** The best that this plugin can be promised. */
  readonly guarantee: Guarantee;
  readonly options: SetModeOptions;
}

const WRITE_ATTEMPTS = 50;
const ACK_POLL_MS = [1, 2, 3, 5, 8, 12, 20];

/** What a switch has come to. */
export interface Switched {
  readonly report: ConvergenceReport;
  /** Of the others those whom it has switched off. */
  readonly switchedOff: readonly string[];
}

interface Committed {
  readonly record: ControlRecord;
  readonly wipe: boolean;
  /** Mode in force before: of the record that this one follows. */
  readonly previousMode: Mode;
  readonly committedAt?: number;
  readonly reason?: string;
}

/**
 * Writes the record (compare-and-set, rev = max(stored, highest seen) + 1), follows it here, then reads the members
 * and waits for their acknowledgements. With the store out of reach the switch is made here alone and put into the
 * store when it is back.
 */
export async function switchMode(plane: ControlPlane, change: Switch): Promise<Switched> {
  const { state, options } = change;
  const { tenant } = options;
  const scope = scopeText({ plugin: state.plugin, ...(tenant === undefined ? {} : { tenant }) });
  const startedAt = plane.clock.now();
  const { record, reason, followed, facts, switchedOff } = await plane.turns.run(scope, async () => {
    // What is in force before and after this switch is asked inside its turn: others come before it, and after.
    const before = change.others();
    const { previousMode, wipe, ...done } = await commitOrDraft(plane, scope, change);
    const followed = plane.apply(scope, done.record);
    const after = change.others();
    const off = [...before].filter(([name, was]) => was !== "disabled" && after.get(name) === "disabled");
    const mode = modeUnder(done.record, change.inherited());
    const facts = { rev: done.record.rev, previousMode, mode, committedAt: done.committedAt, wipe };
    return { ...done, followed, facts, switchedOff: off.map(([name]) => name) };
  });
  if (reason !== undefined) {
    return { report: localOnly(plane, facts, plane.clock.now() - startedAt, reason), switchedOff };
  }
  const published = within(plane.clock, plane.timing.storeMs, plane.bus.publish({ scope, rev: record.rev }));
  published.catch(() => undefined);
  const { waitFor = "all", timeoutMs = 5_000 } = options;
  if (waitFor !== "none") await within(plane.clock, timeoutMs, followed).catch(() => undefined);
  const waited = await waitForAcks(plane, scope, record, startedAt, options);
  return { report: { ...facts, ...waited, guarantee: change.guarantee }, switchedOff };
}

function localOnly(
  plane: ControlPlane,
  facts: Pick<ConvergenceReport, "rev" | "previousMode" | "mode" | "committedAt" | "wipe">,
  ms: number,
  reason: string,
): ConvergenceReport {
  const acked = [{ replica: plane.replica, ms }];
  return {
    ...facts,
    expected: [plane.replica],
    acked,
    missing: [],
    ...latencies(acked),
    converged: false,
    guarantee: "best-effort",
    reason,
  };
}

function draft(
  { state, mode, inherited: inherits, options }: Switch,
  known: ControlRecord | undefined,
  stored: ControlRecord | undefined,
): Committed {
  const { wipe: policy = "auto", setBy = "api" } = options;
  const inherited = inherits();
  const newest = stored !== undefined && stored.rev >= (known?.rev ?? 0) ? stored : known;
  const previous = modeUnder(newest, inherited);
  const next = mode === "inherit" ? inherited : mode;
  const wipe = policy === "always" || (policy === "auto" && previous !== "disabled" && next === "disabled");
  const seq = Math.max(stored?.wipeSeq ?? 0, known?.wipeSeq ?? 0, state.record(options.tenant)?.wipeSeq ?? 0);
  return {
    record: { mode, rev: (newest?.rev ?? 0) + 1, uuid: randomUUID(), wipeSeq: seq + (wipe ? 1 : 0), setBy },
    wipe,
    previousMode: state.switchedOff === undefined ? previous : "disabled",
  };
}

/** Writes the record; with the store out of reach, drafts the one that is followed here alone. */
async function commitOrDraft(plane: ControlPlane, scope: string, change: Switch): Promise<Committed> {
  try {
    const committed = await commit(plane, scope, change);
    return { ...committed, committedAt: plane.clock.wallNow() };
  } catch (error) {
    if (PluginError.is(error) || isProgrammingError(error)) throw error;
    const { record, ...drafted } = draft(change, change.state.record(change.options.tenant), undefined);
    const { ttlMs } = change.options;
    const expires = ttlMs === undefined ? {} : { expiresAt: endOf(plane.clock.wallNow(), ttlMs) };
    const said = error instanceof Error ? error.message : String(error);
    return { ...drafted, record: { ...record, ...expires }, reason: `the store is out of reach: ${said}` };
  }
}

async function commit(plane: ControlPlane, scope: string, change: Switch): Promise<Committed> {
  const { storeMs } = plane.timing;
  const { state, options } = change;
  let [stored] = await within(plane.clock, storeMs, plane.bus.read([scope]));
  for (let attempt = 0; attempt < WRITE_ATTEMPTS; attempt++) {
    const { record, ...drafted } = draft(change, state.record(options.tenant), stored);
    const write = plane.bus.write(scope, record, stored?.rev ?? 0, options.ttlMs);
    const verdict = await within(plane.clock, storeMs, write);
    if (verdict.written) return { ...drafted, record: verdict.current ?? record };
    stored = verdict.current;
  }
  throw new PluginError("conflict", `other admins won ${WRITE_ATTEMPTS} times in a row`, {
    retryable: true,
    details: { plugin: state.plugin },
  });
}

async function waitForAcks(
  plane: ControlPlane,
  scope: string,
  record: ControlRecord,
  startedAt: number,
  { waitFor = "all", timeoutMs = 5_000 }: SetModeOptions,
): Promise<
  Pick<ConvergenceReport, "expected" | "acked" | "missing" | "p50Ms" | "maxMs" | "converged" | "reason">
> {
  const { clock, bus, timing, replica, membership } = plane;
  const seen = new Map<string, number>();
  let expected: readonly string[] = [replica];
  let incomplete = true;
  let reason: string | undefined;
  try {
    for (let round = 0; ; round++) {
      if (incomplete) {
        incomplete = membership.incomplete;
        expected = await membership.read();
        incomplete ||= membership.incomplete;
      }
      for (const name of await within(clock, timing.storeMs, bus.acks(scope, record))) {
        if (!seen.has(name)) seen.set(name, clock.now() - startedAt);
      }
      const count = expected.filter((name) => seen.has(name)).length;
      const enough = count >= needed(waitFor, expected.length) && !(incomplete && waitFor !== "none");
      if (enough || clock.now() - startedAt >= timeoutMs) break;
      await pause(clock, ACK_POLL_MS[Math.min(round, ACK_POLL_MS.length - 1)] ?? 20);
    }
  } catch (error) {
    reason = `acknowledgements could not be read: ${error instanceof Error ? error.message : String(error)}`;
  }
  const acked: Acknowledgement[] = expected.flatMap((name) => {
    const ms = seen.get(name);
    return ms === undefined ? [] : [{ replica: name, ms }];
  });
  const missing = expected.filter((name) => !seen.has(name));
  if (missing.length > 0)
    reason ??= `no acknowledgement from ${missing.length} of ${expected.length} replicas`;
  if (incomplete) reason ??= "the store lost the list of replicas a moment ago; it may lack some";
  return {
    expected,
    acked,
    missing,
    ...latencies(acked),
    converged: missing.length === 0 && !incomplete,
    ...(reason === undefined ? {} : { reason }),
  };
}
