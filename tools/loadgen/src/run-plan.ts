import { runClosedLoop } from "./closed-loop.ts";
import type { Percentiles } from "./latency-histogram.ts";
import { createMcpCaller, type McpCaller, type McpTarget } from "./mcp-caller.ts";
import { type Caller, type GeneratorReport, runOpenLoop } from "./open-loop.ts";
import { type Load, secondsOf } from "./plan.ts";
import { processUsage } from "./process-usage.ts";
import { createRecorder, type Recorder, type SecondRow, type SegmentRow } from "./recorder.ts";
import { constant, createSchedule } from "./schedule.ts";

/** What one load on one target came to. */
export interface RunResult {
  readonly target: string;
  readonly kind: Load["kind"];
  readonly seconds: number;
  /** Calls that were due, or, at a fixed concurrency, made. */
  readonly offered: number;
  readonly ok: number;
  readonly outcomes: Readonly<Record<string, number>>;
  /** Answered calls per second of the run. */
  readonly achievedRps: number;
  /** Of answered calls. */
  readonly latency: Percentiles;
  /** Latency in ms at {@link CURVE_PERCENTILES}. */
  readonly curve: readonly number[];
  readonly generator: GeneratorReport;
  /** The generator lagged too much for the latencies to mean anything. */
  readonly isVoid: boolean;
  /** User and system time of the measured process per answered call. */
  readonly cpuMicrosPerCall: number | undefined;
  readonly perSecond: readonly SecondRow[];
  readonly segments: readonly SegmentRow[];
  readonly answeredByUser: readonly number[];
}

/** Percentiles of the latency curve, for a plot. */
export const CURVE_PERCENTILES = [0, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9, 99.95, 99.99, 100];

/** A run whose generator started its calls later than this, at p99, is void. */
export const VOID_LAG_MS = 1;

/** One load on one target. */
export interface RunOptions {
  readonly name: string;
  readonly target: McpTarget;
  readonly load: Load;
  readonly bounds: readonly number[];
  /** The process whose time and memory are measured. */
  readonly pid: number | undefined;
  readonly warmUpCalls: number;
  /** One that is open already and stays so; else one is opened for this run. */
  readonly caller?: McpCaller;
  readonly onProgress?: (ratio: number) => void;
}

const WARM_UP_RPS = 1_000;

function drive(
  load: Load,
  call: Caller,
  recorder: Recorder,
  onProgress: (ratio: number) => void,
): Promise<GeneratorReport> {
  return load.kind === "open"
    ? runOpenLoop({ schedule: createSchedule(load.stages), call, recorder, onProgress })
    : runClosedLoop({ ...load, call, recorder, onProgress });
}

/** Warms up, runs the load, and sums it up. */
export async function runLoad(options: RunOptions): Promise<RunResult> {
  const { name, target, load, pid } = options;
  const onProgress = options.onProgress ?? (() => undefined);
  const caller = options.caller ?? (await createMcpCaller(target));
  try {
    if (options.warmUpCalls > 0) {
      const seconds = options.warmUpCalls / WARM_UP_RPS;
      const warmUp: Load = { kind: "open", stages: [constant(WARM_UP_RPS, seconds)] };
      await drive(warmUp, caller.call, createRecorder([seconds], undefined), () => undefined);
    }
    const answeredBefore = [...caller.answeredByUser()];
    const recorder = createRecorder(options.bounds, pid);
    const before = pid === undefined ? undefined : processUsage(pid).cpuMicros;
    const generator = await drive(load, caller.call, recorder, onProgress);
    const after = pid === undefined ? undefined : processUsage(pid).cpuMicros;

    const outcomes = recorder.outcomes();
    const ok = outcomes["ok"] ?? 0;
    const offered = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
    const seconds = secondsOf(load);
    return {
      target: name,
      kind: load.kind,
      seconds,
      offered,
      ok,
      outcomes,
      achievedRps: ok / seconds,
      latency: recorder.latency.percentiles(),
      curve: recorder.latency.curve(CURVE_PERCENTILES),
      generator,
      isVoid: generator.lag.p99 > VOID_LAG_MS,
      cpuMicrosPerCall:
        before === undefined || after === undefined || ok === 0 ? undefined : (after - before) / ok,
      perSecond: recorder.seconds(),
      segments: recorder.segments(),
      answeredByUser: caller.answeredByUser().map((count, user) => count - (answeredBefore[user] ?? 0)),
    };
  } finally {
    if (options.caller === undefined) await caller.close();
  }
}
