import type { RunResult } from "./run-plan.ts";
import type { Stage } from "./schedule.ts";

/** How long a profile runs: `full` as the performance plan has it, `ci` shortened, `smoke` a few seconds. */
export type Scale = "smoke" | "ci" | "full";

/** What a run is loaded with. */
export type Load =
  | { readonly kind: "open"; readonly stages: readonly Stage[] }
  | { readonly kind: "closed"; readonly concurrency: number; readonly seconds: number };

/** One thing that must hold. */
export interface Check {
  readonly what: string;
  readonly measured: string;
  readonly bound: string;
  readonly ok: boolean;
}

/** Who calls what. */
export interface CallShape {
  readonly users: number;
  readonly sessions: number;
  readonly connections: number;
  readonly tool: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** A profile at one scale. */
export interface Plan extends CallShape {
  readonly load: Load;
  /** Seconds at which the stretches end that are reported apart, ascending. */
  readonly bounds: readonly number[];
  readonly warmUpCalls: number;
  /** The same load, shorter, for the upstream called directly and for the bare proxy. */
  readonly baseline: Load;
  checks(result: RunResult): readonly Check[];
}

/** A named load of the performance plan. */
export interface Profile {
  readonly name: string;
  readonly title: string;
  plan(scale: Scale): Plan;
}

/** The end of a load, in seconds. */
export const secondsOf = (load: Load): number =>
  load.kind === "closed" ? load.seconds : load.stages.reduce((sum, { seconds }) => sum + seconds, 0);
