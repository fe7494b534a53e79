import type { CallOutcome } from "./call-outcome.ts";
import { type Decision, decide } from "./decide.ts";
import { delayCeiling } from "./jitter.ts";
import { parsePolicy, type RetryPolicy, type RetryPolicyInput } from "./policy.ts";
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

/**
 * Shows what a policy does with a call that fails the same way every time: the schedule, and why it ends.
 * Decides attempt after attempt with the smallest and the largest draw. Calls nothing, sleeps for nothing, and asks
 * no budget.
 *
 * @throws RetryError `invalid_policy`.
 */
export function explain(
  policy: RetryPolicyInput | RetryPolicy,
  sampleFailure: CallOutcome,
  options: ExplainOptions = {},
): Explanation {
  const own = parsePolicy(policy).for(options.name);
  const steps: ExplainedStep[] = [];
  const lines: string[] = [];
  let previous = { least: own.baseMs, most: own.baseMs };
  let maxTotalDelayMs = 0;
  for (let attempt = 1; ; attempt++) {
    const draw = (drawn: number, previousDelayMs: number) =>
      decide(sampleFailure, { ...options, policy: own, attempt, previousDelayMs, random: () => drawn });
    const low = draw(0, previous.least);
    const high = draw(1 - Number.EPSILON, previous.most);
    const begin = `attempt ${attempt} fails →`;
    if (!low.retry || !high.retry) {
      steps.push({ attempt, decision: low });
      lines.push(`${begin} give up: ${low.reason}`, `longest total wait: ${maxTotalDelayMs} ms`);
      return { steps, maxTotalDelayMs, toString: () => lines.join("\n") };
    }
    previous = { least: low.delayMs, most: high.delayMs };
    maxTotalDelayMs += high.delayMs;
    steps.push({ attempt, decision: high, minDelayMs: low.delayMs, maxDelayMs: high.delayMs });
    const bounds = `${low.delayMs}–${high.delayMs} ms (ceiling ${delayCeiling(attempt, own)}, ${own.jitter})`;
    lines.push(`${begin} wait ${bounds}, then retry: ${low.reason}`);
  }
}
