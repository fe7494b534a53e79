import type { HookRecord } from "./hook-record.ts";
import type { Violation } from "./violation.ts";

/** What the plugins of one hook made of a payload. */
export interface PipelineResult<P> {
  readonly allowed: boolean;
  /** The final payload: the caller's own object when nothing was modified. */
  readonly payload: P;
  /** The refusal, when not `allowed`. */
  readonly violation?: Violation | undefined;
  /** Refusals of plugins in mode `permissive`. */
  readonly shadowViolations: readonly Violation[];
  /** Response headers, on success and refusal alike. */
  readonly headers: Readonly<Record<string, string>>;
  /** Maximum over the plugins; kept when a later plugin blocks. */
  readonly retryDelayMs?: number | undefined;
  /** By plugin name. */
  readonly metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** In the order of execution; a `fire_and_forget` handler's record is appended when it ends. */
  readonly records: readonly HookRecord[];
}
