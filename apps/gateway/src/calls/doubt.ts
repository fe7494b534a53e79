import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import type { CallOutcome } from "@gatewright/plugin-framework";
import type { RepeatHints } from "@gatewright/retry-backoff";
import { mayRepeat } from "@gatewright/retry-backoff/plugin";
import { GatewayError } from "../errors.ts";
import { saysNotExecuted } from "./call-failure.ts";
import { explained, type GiveUp } from "./give-up.ts";

/**
 * Whether the call may have been executed where executing it twice is not known to be harmless. A key, or an operator's
 * word, lets the gateway repeat it, but says nothing to a caller who would make the call anew.
 */
export function leavesDoubt(
  { annotations, serverTrusted }: Omit<RepeatHints, "idempotencyKey">,
  outcome: CallOutcome,
): boolean {
  return !mayRepeat(outcome, { annotations, serverTrusted }, false);
}

/** A failure of a call that leaves doubt: it keeps its code, but nobody is told to make the call again. */
export function lasting(failure: GatewayError): GatewayError {
  if (!failure.retryable) return failure;
  const { code, message, facts } = failure;
  return new GatewayError(code, message, { ...facts, retryable: false });
}

/**
 * The end of a call of which an earlier attempt left doubt. That the last one was not sent, or was refused, says nothing
 * of the call, so its error stands in the details and none of its statuses, headers and times to wait are told.
 */
export function doubtful(failure: GatewayError, attempts: number, giveUp: GiveUp | undefined): GatewayError {
  const { code, message, facts } = failure;
  if (code === "outcome_unknown") return explained(failure, attempts, giveUp);
  const lastError = { ...facts.details, code: facts.publicCode ?? code };
  return explained(unknown(message, lastError, failure), attempts, giveUp);
}

/**
 * The same for an answer; undefined for one that may be shown: a result, and an error that does not say of itself that the
 * call was not executed or may be made again.
 */
export function doubtfulAnswer(
  answer: UpstreamAnswer,
  upstreamName: string,
  attempts: number,
  giveUp: GiveUp | undefined,
): GatewayError | undefined {
  if (answer.kind === "result") return undefined;
  const error = answer.value();
  const data = error["data"] as { readonly retryable?: unknown } | null | undefined;
  if (!saysNotExecuted(answer.httpStatus) && data?.retryable !== true) return undefined;
  const lastError = { code: "rpc_error", upstreamStatus: answer.httpStatus, error };
  return explained(unknown(`${upstreamName} refused the call`, lastError), attempts, giveUp);
}

function unknown(message: string, lastError: object, cause?: unknown): GatewayError {
  return new GatewayError("outcome_unknown", `an earlier attempt may have been executed; then: ${message}`, {
    cause,
    details: { outcomeUnknown: true, lastError },
    retryable: false,
  });
}
