import type { CallOutcome } from "../call-outcome.ts";
import { type Clock, systemClock } from "../clock.ts";
import { type Decision, decide } from "../decide.ts";
import { createBudget } from "../memory-budget.ts";
import { parsePolicy, type RetryPolicy, type RetryPolicyInput } from "../policy.ts";
import type { RepeatHints } from "../repeat-safety.ts";

/** Bounds of what a {@link CompatAdapter} remembers. */
export interface CompatOptions {
  /** A call that was not heard of for so long is forgotten, and freed within twice that. Default 300 000. */
  readonly ttlMs?: number;
  /** Calls remembered at most; of the ones not heard of lately half is dropped at once. Default 100 000. */
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
 * Makes a {@link CompatAdapter}. Each step costs the same however many calls are remembered: there are two
 * generations, and when the young one is full or older than the time to live, the old one is dropped whole.
 * Two parallel calls of one tool in one request share a counter here, which only a host with a loop can avoid.
 *
 * @throws RetryError `invalid_policy`.
 */
export function createCompatAdapter(
  policy: RetryPolicyInput | RetryPolicy = {},
  { ttlMs = 300_000, maxEntries = 100_000, clock = systemClock, random }: CompatOptions = {},
): CompatAdapter {
  const parsed = parsePolicy(policy);
  const budget = parsed.budget ? createBudget(parsed.budget, { clock }) : undefined;
  let young = new Map<string, Entry>();
  let old = new Map<string, Entry>();
  let bornAt = clock.now();

  const recall = (key: string, now: number): Entry | undefined => {
    const entry = young.get(key) ?? old.get(key);
    return entry !== undefined && entry.seenAt > now - ttlMs ? entry : undefined;
  };
  const forget = (key: string) => {
    young.delete(key);
    old.delete(key);
  };
  const remember = (key: string, entry: Entry) => {
    if (young.size >= maxEntries / 2 || entry.seenAt - bornAt >= ttlMs) {
      old = young;
      young = new Map();
      bornAt = entry.seenAt;
    }
    old.delete(key);
    young.set(key, entry);
  };

  return {
    get size() {
      return young.size + old.size;
    },
    forget: (tool, requestId) => forget(keyOf(tool, requestId)),
    onOutcome(call, outcome) {
      const { tool, requestId } = call;
      const key = keyOf(tool, requestId);
      const now = clock.now();
      const known = recall(key, now);
      if (known === undefined) budget?.deposit({ tool });
      const attempt = (known?.failures ?? 0) + 1;
      const decision = decide(outcome, {
        annotations: call.annotations,
        serverTrusted: call.serverTrusted,
        idempotencyKey: call.idempotencyKey,
        policy: parsed.for(tool),
        attempt,
        previousDelayMs: known?.previousDelayMs,
        budget,
        scope: { tool },
        random,
      });
      if (decision.retry)
        remember(key, { failures: attempt, previousDelayMs: decision.delayMs, seenAt: now });
      else if (known !== undefined) forget(key);
      return decision;
    },
  };
}

/** The tool's length in front keeps ("a", "b:c") and ("a:b", "c") apart. */
function keyOf(tool: string, requestId: string): string {
  return `${tool.length}:${tool}${requestId}`;
}
