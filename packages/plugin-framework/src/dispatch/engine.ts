import type { Clock } from "../clock.ts";
import type { Deadlines } from "../deadlines.ts";
import type { ModeState } from "../mode-state.ts";
import type { PipelineObserver } from "../observer.ts";

/** What the dispatcher asks of the control plane; never called while a lease is valid and nothing is new. */
export interface ModeGate {
  /** How long a reading of the control record may be decided by. */
  readonly leaseMs: number;
  /** Reads the records in at most 50 ms; false: they could not be read, decide by the last known mode. */
  renew(modes: ModeState): Promise<boolean>;
  /** A fenced reply showed a record that is not known here yet. */
  noteNewer(modes: ModeState, tenant: string | undefined): void;
  /** A fenced reply was decided under an older copy of a record than the one known here, or there was none: `absent`. */
  noteStale(modes: ModeState, tenant: string | undefined, absent: boolean): void;
}

/** Services that all requests of a pipeline share. */
export interface Engine {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly observer: PipelineObserver | undefined;
  readonly gate: ModeGate;
  /** Handlers of the `fire_and_forget` phase under way, and how many may be. */
  readonly background: { running: number; readonly limit: number };
  /** `onError: "disable"`: switches a plugin off in this process. */
  switchOff(modes: ModeState, reason: string): void;
}
