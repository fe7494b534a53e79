import type { ModeState } from "../mode-state.ts";
import type { ControlAlert } from "../observer.ts";
import type { ControlRecord } from "./control-record.ts";

/** What the control plane tells its pipeline. */
export interface ControlListener {
  /** The state of a plugin, created when it is not known yet; undefined: not a plugin of this pipeline. */
  stateOf(plugin: string): ModeState | undefined;
  states(): Iterable<ModeState>;
  /** A newer record is in force here; resolves when the plugin has been told. */
  applied(state: ModeState, tenant: string | undefined, change: AppliedRecord): Promise<void>;
  alert(kind: ControlAlert["kind"], detail: string, scope?: string): void;
}

/** A record that has just replaced another one. */
export interface AppliedRecord {
  readonly previous: ControlRecord | undefined;
  readonly record: ControlRecord;
}
