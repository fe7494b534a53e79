import type { Mode } from "./mode.ts";
import type { Phase } from "./phase.ts";

/**
 * How a plugin's part in one hook ended. `skipped`: a condition did not match or the background queue was full;
 * `cancelled`: a sibling of the concurrent phase had decided; `disabled`: its mode, or `onError: "disable"`.
 */
export type RecordStatus =
  | "completed"
  | "blocked"
  | "error"
  | "timeout"
  | "skipped"
  | "cancelled"
  | "disabled";

/** One plugin at one hook of one request. */
export interface HookRecord {
  readonly plugin: string;
  readonly hook: string;
  readonly phase: Phase;
  /** Mode under which the outcome was judged. */
  readonly mode: Mode;
  readonly status: RecordStatus;
  /** What the plugin wanted. */
  readonly requestedAllow: boolean;
  /** What came of it: true for a shadow verdict. */
  readonly effectiveAllow: boolean;
  readonly modified: boolean;
  /** Wall time of the handler in nanoseconds, in every phase. */
  readonly durationNs: number;
  /** At most 256 characters. */
  readonly reason?: string | undefined;
  /** Fields that the handler changed without being allowed to; the change was dropped. */
  readonly droppedWrites?: readonly string[] | undefined;
  /** The decision was made on the last known mode because the shared record could not be read in time. */
  readonly degraded?: boolean | undefined;
}
