import type { SyncBudget } from "./budget.ts";
import type { CallOutcome } from "./call-outcome.ts";
import type { Decision, DecisionContext } from "./decide.ts";
import type { RetryPolicy } from "./policy.ts";
import type { RepeatHints } from "./repeat-safety.ts";

/** One step of a dry run: what follows attempt `attempt` when it fails like the sample. */
export interface ExplainedStep {
  readonly attempt: number;
  readonly decision: Decision;
  /** Bounds of the delay, milliseconds; absent when it gives up. */
  readonly minDelayMs?: number;
  readonly maxDelayMs?: number;
}

/** A dry run; `toString()` prints it as a table. */
export interface Explanation {
  readonly steps: readonly ExplainedStep[];
  /** Longest time spent asleep, milliseconds. */
  readonly maxTotalDelayMs: number;
  toString(): string;
}

/** What the dry run assumes beside the sample. */
export interface ExplainOptions extends RepeatHints {
  /** The tool whose override holds. */
  readonly name?: string | undefined;
}

/** What the dry run asks after each failure. */
export type Decide = (outcome: CallOutcome, context: DecisionContext<SyncBudget>) => Decision;

/** Decides attempt after attempt with the smallest and the largest draw, until it gives up. */
export function dryRun(
  own: RetryPolicy,
  sampleFailure: CallOutcome,
  hints: RepeatHints,
  decide: Decide,
): Explanation {
  const steps: ExplainedStep[] = [];
  let previous = { least: own.baseMs, most: own.baseMs };
  let maxTotalDelayMs = 0;
  for (let attempt = 1; ; attempt++) {
    const draw = (random: () => number, previousDelayMs: number) =>
      decide(sampleFailure, { ...hints, policy: own, attempt, previousDelayMs, random, budget: undefined });
    const low = draw(() => 0, previous.least);
    const high = draw(() => 1 - Number.EPSILON, previous.most);
    if (!low.retry || !high.retry) {
      steps.push({ attempt, decision: low });
      break;
    }
    steps.push({ attempt, decision: high, minDelayMs: low.delayMs, maxDelayMs: high.delayMs });
    maxTotalDelayMs += high.delayMs;
    previous = { least: low.delayMs, most: high.delayMs };
  }
  return { steps, maxTotalDelayMs, toString: () => print(own, steps, maxTotalDelayMs) };
}

function print(policy: RetryPolicy, steps: readonly ExplainedStep[], total: number): string {
  const lines = steps.map(({ attempt, decision, minDelayMs, maxDelayMs }) => {
    if (!decision.retry) return `attempt ${attempt} fails → give up: ${decision.reason}`;
    const ceiling = Math.min(policy.maxMs, policy.baseMs * 2 ** (attempt - 1));
    return `attempt ${attempt} fails → wait ${minDelayMs}–${maxDelayMs} ms (ceiling ${ceiling}, ${policy.jitter}), then retry: ${decision.reason}`;
  });
  return [...lines, `longest total wait: ${total} ms`].join("\n");
}
