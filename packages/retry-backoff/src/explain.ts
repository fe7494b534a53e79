import type { CallOutcome } from "./call-outcome.ts";
import { decide } from "./decide.ts";
import type { ExplainOptions, Explanation } from "./dry-run.ts";
import { parsePolicy, type RetryPolicy, type RetryPolicyInput } from "./policy.ts";

/**
 * Shows what a policy does with a call that fails the same way every time: the schedule, and why it ends.
 * Calls nothing, sleeps for nothing, and asks no budget.
 *
 * @throws RetryError `invalid_policy`.
 */
export async function explain(
  policy: RetryPolicyInput | RetryPolicy,
  sampleFailure: CallOutcome,
  options: ExplainOptions = {},
): Promise<Explanation> {
  const own = parsePolicy(policy).for(options.name);
  const { dryRun } = await import("./engine.ts");
  return dryRun(own, sampleFailure, options, decide);
}
