import type { Mode } from "../mode.ts";
import type { Guarantee } from "./control-bus.ts";

/** Whom `setMode` waits for. */
export type WaitFor = "none" | "quorum" | "all";

/** When a switch empties the plugin's state: `auto` = when an active plugin becomes disabled. */
export type WipePolicy = "auto" | "always" | "never";

/** Options of `setMode` and `clearMode`. */
export interface SetModeOptions {
  /** Only for this tenant. Default: for all. */
  readonly tenant?: string;
  /** Default `auto`. */
  readonly wipe?: WipePolicy;
  /** The override ends after so long, counted in whole milliseconds and rounded up. Default: never by itself. */
  readonly ttlMs?: number;
  /** Default `all`. */
  readonly waitFor?: WaitFor;
  /** How long to wait for acknowledgements. Default 5 000. */
  readonly timeoutMs?: number;
  /** Who did it, for the record. Default `api`. */
  readonly setBy?: string;
}

/** One replica's acknowledgement, milliseconds after the switch began. */
export interface Acknowledgement {
  readonly replica: string;
  readonly ms: number;
}

/** How far a switch has come. */
export interface ConvergenceReport {
  readonly rev: number;
  /**
   * Mode in force before, by the record that this one follows, whoever wrote that; `disabled` where `onError` had
   * switched the plugin off here.
   */
  readonly previousMode: Mode;
  /** Mode in force here now. */
  readonly mode: Mode;
  /** Unix milliseconds after the last copy of the record was written; undefined when the store was out of reach. */
  readonly committedAt: number | undefined;
  /** Was the plugin's state declared empty? */
  readonly wipe: boolean;
  readonly expected: readonly string[];
  readonly acked: readonly Acknowledgement[];
  readonly missing: readonly string[];
  /** Median and maximum over `acked`; 0 when there are none. */
  readonly p50Ms: number;
  readonly maxMs: number;
  /** Every expected replica follows the record, and the record is stored. */
  readonly converged: boolean;
  readonly guarantee: Guarantee;
  /** Why it is not converged, or less is guaranteed than could be. */
  readonly reason?: string;
}

/** Median and maximum of the acknowledgements' times. */
export function latencies(acked: readonly Acknowledgement[]): {
  readonly p50Ms: number;
  readonly maxMs: number;
} {
  const sorted = acked.map(({ ms }) => ms).sort((a, b) => a - b);
  return { p50Ms: sorted[Math.floor((sorted.length - 1) / 2)] ?? 0, maxMs: sorted.at(-1) ?? 0 };
}

/** How many of the expected replicas must answer. */
export function needed(waitFor: WaitFor, expected: number): number {
  if (waitFor === "none") return 0;
  return waitFor === "all" ? expected : Math.floor(expected / 2) + 1;
}
