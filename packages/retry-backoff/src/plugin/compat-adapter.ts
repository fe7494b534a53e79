import type { CallOutcome } from "../call-outcome.ts";
import { type Clock, systemClock } from "../clock.ts";
import { type Decision, decide } from "../decide.ts";
import { createBudget } from "../memory-budget.ts";
import { parsePolicy, type RetryPolicy, type RetryPolicyInput } from "../policy.ts";
import type { RepeatHints } from "../repeat-safety.ts";

/** Bounds of what a {@link CompatAdapter} remembers. */
export interface CompatOptions {
  /** A call that was not heard of for so long is forgotten. Default 300 000. */
  readonly ttlMs?: number;
  /** Calls remembered at most; the ones not heard of longest go first. Default 100 000. */
  readonly maxEntries?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** Decides for hosts that run no loop and know a call only by tool and request id. */
export interface CompatAdapter {
  /** To be asked after every attempt; counts the failures of (tool, requestId) in a row. */
  onOutcome(
    call: { readonly tool: string; readonly requestId: string } & RepeatHints,
    outcome: CallOutcome,
  ): Decision;
  /** Forgets a call, for example when its client went away. */
  forget(tool: string, requestId: string): void;
  /** Calls remembered now. */
  readonly size: number;
}

interface Entry {
  failures: number;
  previousDelayMs: number | undefined;
  seenAt: number;
}

/**
 * Makes a {@link CompatAdapter}. Each step costs the same however many calls are remembered: entries are kept
 * in the order in which they were last heard of, so the expired ones stand in front. Two parallel calls of one
 * tool in one request share a counter here, which only a host with a loop can avoid.
 *
 * @throws RetryError `invalid_policy`.
 */
export function createCompatAdapter(
  policy: RetryPolicyInput | RetryPolicy = {},
  { ttlMs = 300_000, maxEntries = 100_000, clock = systemClock, random }: CompatOptions = {},
): CompatAdapter {
  const parsed = parsePolicy(policy);
  const budget = parsed.budget ? createBudget(parsed.budget, { clock }) : undefined;
  const entries = new Map<string, Entry>();
  const sweep = (now: number) => {
    for (const [key, entry] of entries) {
      if (entry.seenAt > now - ttlMs && entries.size < maxEntries) return;
      entries.delete(key);
    }
  };
  return {
    get size() {
      return entries.size;
    },
    forget: (tool, requestId) => void entries.delete(keyOf(tool, requestId)),
    onOutcome(call, outcome) {
      const { tool, requestId, ...hints } = call;
      const key = keyOf(tool, requestId);
      const now = clock.now();
      const known = entries.get(key);
      const alive = known !== undefined && known.seenAt > now - ttlMs ? known : undefined;
      if (alive === undefined) budget?.deposit({ tool });
      const attempt = (alive?.failures ?? 0) + 1;
      const decision = decide(outcome, {
        ...hints,
        policy: parsed.for(tool),
        attempt,
        previousDelayMs: alive?.previousDelayMs,
        budget,
        scope: { tool },
        random,
      });
      entries.delete(key);
      if (decision.retry) {
        sweep(now);
        entries.set(key, { failures: attempt, previousDelayMs: decision.delayMs, seenAt: now });
      }
      return decision;
    },
  };
}

/** The tool's length in front keeps ("a", "b:c") and ("a:b", "c") apart. */
function keyOf(tool: string, requestId: string): string {
  return `${tool.length}:${tool}${requestId}`;
}
