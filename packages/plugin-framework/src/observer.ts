import type { ControlRecord, ControlScope } from "./control/control-record.ts";
import type { HookRecord } from "./hook-record.ts";
import type { Mode } from "./mode.ts";
import type { Violation } from "./violation.ts";

/** One change of a plugin's mode in force. */
export interface ModeEvent {
  readonly plugin: string;
  /** `rate_limiter`, or `rate_limiter:t:acme` for one tenant's override. */
  readonly scope: string;
  readonly previous: Mode;
  readonly next: Mode;
  readonly rev: number;
  readonly setBy: string;
  /** Unix milliseconds. */
  readonly at: number;
}

/** Something about the control record that an operator should know. */
export interface ControlAlert {
  readonly kind:
    | "record_lost"
    | "record_reasserted"
    | "override_expired"
    | "store_unreachable"
    /** Answers again after it had been unreachable. */
    | "store_reachable"
    | "subscription_failed"
    | "subscription_restored";
  readonly scope?: string;
  readonly detail: string;
  readonly at: number;
}

/** What a plugin's lifecycle step threw. */
export interface LifecycleFailure {
  readonly plugin: string;
  readonly step: "create" | "initialize" | "shutdown" | "mode_change";
  readonly error: unknown;
}

/** Told what happens in a pipeline; every method is optional and one that throws or rejects is ignored. */
export interface PipelineObserver {
  /** Every record: duration, blocks, errors and timeouts by plugin and hook. */
  record?(record: HookRecord): void;
  /** A refusal of a plugin in mode `permissive`. */
  shadowBlock?(record: HookRecord, violation: Violation): void;
  /** A newer record is followed here: a host's registry may keep it and hand it back as `overrides`. */
  controlRecord?(scope: ControlScope, record: ControlRecord): void;
  modeChange?(event: ModeEvent): void;
  lifecycleFailure?(failure: LifecycleFailure): void;
  controlAlert?(alert: ControlAlert): void;
}

/** Calls `tell`, ignoring what it throws and, where it is asynchronous, what it rejects with. */
export function safely(tell: () => unknown): void {
  try {
    const told = tell();
    if (told instanceof Promise) told.catch(() => {});
  } catch {
    // An observer cannot break a request.
  }
}
