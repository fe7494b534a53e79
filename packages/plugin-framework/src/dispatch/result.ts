import type { HookRecord, RecordStatus } from "../hook-record.ts";
import type { Mode } from "../mode.ts";
import { safely } from "../observer.ts";
import type { PipelineResult } from "../pipeline-result.ts";
import type { Violation } from "../violation.ts";
import type { Slot } from "./chain.ts";
import type { Engine } from "./engine.ts";

const NO_VIOLATIONS: readonly Violation[] = Object.freeze([]);
const NO_RECORDS: readonly HookRecord[] = Object.freeze([]);
const NO_FIELDS = Object.freeze(Object.create(null)) as Readonly<Record<string, never>>;
const REASON_LIMIT = 256;

/** A pipeline result while it grows. Empty parts are shared constants, so an uneventful hook allocates little. */
export class Result<P> implements PipelineResult<P> {
  /** `await` asks every object for it, and finds it here without a walk up the prototypes: a fifth of what it costs. */
  // biome-ignore lint/suspicious/noThenProperty: undefined is just what says that this is no promise.
  readonly then = undefined;
  allowed = true;
  payload: P;
  violation: Violation | undefined = undefined;
  shadowViolations: readonly Violation[] = NO_VIOLATIONS;
  headers: Readonly<Record<string, string>> = NO_FIELDS;
  retryDelayMs: number | undefined = undefined;
  metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> = NO_FIELDS;
  records: readonly HookRecord[];

  constructor(payload: P, records: HookRecord[] | undefined) {
    this.payload = payload;
    this.records = records ?? NO_RECORDS;
  }

  addHeaders(headers: Readonly<Record<string, string>>): void {
    this.headers = this.headers === NO_FIELDS ? { ...headers } : { ...this.headers, ...headers };
  }

  addMetadata(plugin: string, metadata: Readonly<Record<string, unknown>>): void {
    this.metadata = { ...this.metadata, [plugin]: { ...this.metadata[plugin], ...metadata } };
  }

  addRetryDelay(delayMs: number): void {
    this.retryDelayMs = Math.max(this.retryDelayMs ?? 0, delayMs);
  }

  addShadow(violation: Violation): void {
    this.shadowViolations = [...this.shadowViolations, violation];
  }
}

/** A record as the dispatcher writes it; one shape, whatever happened. */
export class Entry implements HookRecord {
  readonly plugin: string;
  readonly hook: string;
  readonly phase: Slot["phase"];
  mode: Mode;
  status: RecordStatus = "completed";
  requestedAllow = true;
  effectiveAllow = true;
  modified = false;
  durationNs: number;
  reason: string | undefined = undefined;
  droppedWrites: readonly string[] | undefined = undefined;
  degraded: boolean | undefined = undefined;

  constructor(slot: Slot, mode: Mode, durationNs: number) {
    this.plugin = slot.plugin.name;
    this.hook = slot.hook;
    this.phase = slot.phase;
    this.mode = mode;
    this.durationNs = durationNs;
  }

  because(reason: string): void {
    this.reason = reason.length > REASON_LIMIT ? reason.slice(0, REASON_LIMIT) : reason;
  }
}

/** Appends a record and tells the observer. */
export function keepRecord(engine: Engine, records: readonly HookRecord[], entry: Entry): void {
  (records as HookRecord[]).push(entry);
  const { observer } = engine;
  if (observer?.record !== undefined) safely(() => observer.record?.(entry));
}

/** What a record says of a handler that did not decide. */
export interface PassedOver {
  readonly status: "skipped" | "disabled" | "cancelled";
  readonly reason: string | undefined;
  readonly durationNs?: number;
  readonly degraded?: boolean;
}

/** Records a handler that was not run, or was given up. */
export function recordPassedOver(
  engine: Engine,
  result: Result<unknown>,
  slot: Slot,
  mode: Mode,
  { status, reason, durationNs = 0, degraded = false }: PassedOver,
): void {
  const entry = new Entry(slot, mode, durationNs);
  entry.status = status;
  if (reason !== undefined) entry.because(reason);
  if (degraded) entry.degraded = true;
  keepRecord(engine, result.records, entry);
}
