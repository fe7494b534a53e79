import type { CallOutcome } from "@gatewright/plugin-framework";
import type { Decision } from "@gatewright/retry-backoff";
import { mayRepeat } from "@gatewright/retry-backoff/plugin";
import type { CallLoopDeps, HookedCall } from "./call-loop.ts";
import { type GiveUp, giveUpOf } from "./give-up.ts";
import type { RetryLayer } from "./retry-layer.ts";

/** Why there is no further attempt although a plugin asks for one: the limits hold for all of them. */
export async function hindrance(
  { retries, maxRetries }: Pick<CallLoopDeps, "retries" | "maxRetries">,
  call: HookedCall,
  asked: {
    readonly outcome: CallOutcome;
    readonly decision: Decision | undefined;
    readonly count: number;
    readonly delayMs: number | undefined;
  },
): Promise<GiveUp | undefined> {
  const { outcome, decision, count, delayMs } = asked;
  if (!isSafe(retries, call, outcome)) return giveUpOf(decision) ?? unsafe(outcome);
  if (count > (call.resume ? 0 : maxRetries)) return { reason: "max_retries", outcomeUnknown: false };
  if (delayMs === undefined) return { reason: "deadline", outcomeUnknown: false };
  if (decision?.retry === true) return undefined;
  return retries.refusal(decision, { tool: call.name, server: call.upstream.id, tenant: call.tenant });
}

/** Whether the call may be made again at all, whichever plugin asks for it. */
function isSafe(retries: RetryLayer, call: HookedCall, outcome: CallOutcome): boolean {
  const { annotations, idempotencyKey } = call;
  const hints = { annotations, idempotencyKey, serverTrusted: isTrusted(call) };
  return mayRepeat(outcome, hints, retries.repeatsUnsafe(call.name, call.tenant));
}

function unsafe(outcome: CallOutcome): GiveUp {
  const unknown = outcome.kind === "error" && outcome.phase === "sent_no_response";
  return { reason: "unsafe_to_repeat", outcomeUnknown: unknown };
}

/** Prompts and resources are only read, by the protocol; of tools only a trusted server's hints count. */
export function isTrusted({ hooks, upstream }: HookedCall): boolean {
  return hooks.kind !== "tool" || upstream.definition.trusted;
}
