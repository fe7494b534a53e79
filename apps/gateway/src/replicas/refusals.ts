import { encodeSse } from "@gatewright/mcp-bridge";
import { isSessionPoolError, type SessionPoolError } from "@gatewright/session-pool";
import { GatewayError } from "../errors.ts";
import { failureAnswer } from "../http/failure-answer.ts";
import type { EdgeRequest } from "./replicas.ts";

/** A client is asked to come back after this long at least. */
const minRetryMs = 1_000;

/** The error that a client gets for a failure of ownership. */
export function refusalOf(error: unknown): unknown {
  if (!isSessionPoolError(error)) return error;
  switch ((error as SessionPoolError).code) {
    case "pool_capacity":
      return new GatewayError("overloaded", "this replica owns as many sessions as it may", {
        cause: error,
        retryAfterMs: minRetryMs,
      });
    case "backend_unavailable":
      return new GatewayError("backend_unavailable", "where this session lives cannot be found out now", {
        cause: error,
        retryAfterMs: minRetryMs,
      });
    default:
      return error;
  }
}

/** The owner of a session does not answer, or refused the request for the reason told, and nothing was executed. */
export function ownerUnreachable(deadInMs: number, cause?: unknown, refused?: string): GatewayError {
  const what = refused === undefined ? "does not answer" : `refused the request: ${refused}`;
  return new GatewayError("session_owner_unreachable", `the replica that holds this session ${what}`, {
    cause,
    retryAfterMs: Math.max(minRetryMs, deadInMs),
  });
}

/** Another replica may or may not have executed the request. */
export function unknownOutcome(cause?: unknown): GatewayError {
  return new GatewayError(
    "outcome_unknown",
    "the replica that holds this session was lost during the call; whether it was executed is unknown",
    { cause },
  );
}

/** The last event of a call's stream whose replica was lost. */
export function brokenStream({ idText, requestId }: EdgeRequest): string | undefined {
  if (idText === undefined) return undefined;
  const { body } = failureAnswer(unknownOutcome(), idText, requestId);
  // Blank lines first: the stream may have broken within an event.
  return `\n\n${encodeSse({ event: "message", data: body })}`;
}

/** Nobody knows the session. */
export function noSuchSession(): GatewayError {
  return new GatewayError("not_found", "there is no such session; initialize again");
}

/** The session is another principal's. */
export function foreignSession(): GatewayError {
  return new GatewayError("forbidden", "this session belongs to somebody else");
}
