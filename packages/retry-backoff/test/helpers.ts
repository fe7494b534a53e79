import { createFakeClock } from "@gatewright/testkit";
import type {
  CallError,
  CallOutcome,
  Clock,
  DecisionContext,
  RetryPolicyInput,
  SyncBudget,
} from "../src/index.ts";
import { parsePolicy } from "../src/index.ts";

/** A fake clock in the shape this package asks for. */
export function fakeTime() {
  const fake = createFakeClock();
  const clock: Clock = {
    now: () => fake.monotonic(),
    setTimer(callback, ms) {
      const timer = fake.setTimeout(callback, ms);
      return () => fake.clearTimeout(timer);
    },
  };
  return { fake, clock };
}

export const idempotent = { annotations: { idempotentHint: true }, serverTrusted: true } as const;
export const readOnly = { annotations: { readOnlyHint: true }, serverTrusted: true } as const;

export const failed = (status?: number): CallOutcome => ({
  kind: "result",
  result: {
    isError: true,
    content: [],
    ...(status !== undefined && { structuredContent: { status_code: status } }),
  },
});

export const result = (value: unknown): CallOutcome => ({ kind: "result", result: value });

export const error = (facts: Partial<CallError>): CallOutcome => ({
  kind: "error",
  code: "upstream_unreachable",
  phase: "sent_no_response",
  ...facts,
});

/** A decision context with no budget, at the first attempt. */
export function context(
  policy: RetryPolicyInput = {},
  more: Partial<DecisionContext<SyncBudget>> = {},
): DecisionContext<SyncBudget> {
  return { policy: parsePolicy(policy), attempt: 1, ...more };
}
