import type { PipelineResult, PostPayload } from "@gatewright/plugin-framework";
import type { Decision, GiveUpReason, RetryReason } from "@gatewright/retry-backoff";
import { GatewayError } from "../errors.ts";

/** Why a failed call got no further attempt. */
export interface GiveUp {
  readonly reason: GiveUpReason;
  /** The call may have been executed, and nobody knows. */
  readonly outcomeUnknown: boolean;
  /** The counter of the budget that refused. */
  readonly refusedBy?: string | undefined;
}

/** What the plugin `retry` decided, if it is switched on and saw a failure. */
export function decisionOf(result: PipelineResult<PostPayload>): Decision | undefined {
  return result.metadata["retry"]?.["decision"] as Decision | undefined;
}

/** Why another attempt is made; a plugin other than `retry` gives no reason. */
export function retryReasonOf(decision: Decision | undefined): RetryReason {
  return decision?.retry === true ? decision.reason : "exception";
}

/** A decision against another attempt. */
export function giveUpOf(decision: Decision | undefined): GiveUp | undefined {
  if (decision === undefined || decision.retry) return undefined;
  const { reason, outcomeUnknown = false, budget } = decision;
  return { reason, outcomeUnknown, refusedBy: budget?.refusedBy };
}

/** The failure as the caller gets it: with the number of attempts, and why there are no more. */
export function explained(failure: GatewayError, attempts: number, giveUp: GiveUp | undefined): GatewayError {
  if (attempts === 1 && giveUp === undefined) return failure;
  const { facts } = failure;
  const details = {
    ...facts.details,
    ...(attempts === 1 ? {} : { attempts }),
    ...(giveUp === undefined ? {} : { reason: giveUp.reason }),
    ...(giveUp?.outcomeUnknown ? { outcomeUnknown: true } : {}),
    ...(giveUp?.refusedBy === undefined ? {} : { budget: giveUp.refusedBy }),
  };
  const message = attempts === 1 ? failure.message : `${failure.message} (after ${attempts} attempts)`;
  if (giveUp?.reason !== "unsafe_to_repeat") {
    // What was executed, and would fail in the same way, is not called retryable either.
    const lasting = giveUp?.reason === "not_retryable" && facts.details?.["phase"] === "response_received";
    return new GatewayError(failure.code, message, {
      ...facts,
      details,
      ...(lasting && { retryable: false }),
    });
  }
  // Repeating what may have been executed is the caller's decision, so it is not called retryable.
  const { publicCode: _, ...own } = facts;
  const unsafe = { ...own, details, retryable: false };
  if (failure.code === "upstream_timeout") return new GatewayError(failure.code, message, unsafe);
  return giveUp.outcomeUnknown
    ? new GatewayError("outcome_unknown", message, unsafe)
    : new GatewayError(
        "unsafe_to_repeat",
        `${message}; the call is not repeated, as it may be unsafe`,
        unsafe,
      );
}

/** The same for an answer, which goes to the caller unchanged: in headers. */
export function giveUpHeaders(
  headers: Readonly<Record<string, string>>,
  attempts: number,
  giveUp: GiveUp | undefined,
): Readonly<Record<string, string>> {
  const told = giveUp !== undefined && giveUp.reason !== "not_retryable";
  if (attempts === 1 && !told) return headers;
  return {
    ...headers,
    ...(attempts === 1 ? {} : { "x-gatewright-attempts": String(attempts) }),
    ...(told ? { "x-gatewright-give-up": giveUp.reason } : {}),
  };
}
