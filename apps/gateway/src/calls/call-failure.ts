import { ERROR_SURFACES, type GatewayErrorCode } from "@gatewright/mcp-bridge";
import { BridgeError } from "@gatewright/mcp-bridge/bridge";
import { UpstreamError } from "@gatewright/mcp-bridge/upstream";
import type { CallOutcome, Violation } from "@gatewright/plugin-framework";
import { RetryError } from "@gatewright/retry-backoff";
import { isSessionPoolError } from "@gatewright/session-pool";
import { GatewayError } from "../errors.ts";
import { sendableHeaders } from "../http/sendable-headers.ts";
import { unexpectedFailure } from "./unexpected-failure.ts";

/**
 * What a failed attempt was, as the post hooks see it. Not sent is only what says so itself: of anything else, a fault of
 * this program too, the upstream may have heard.
 */
export function outcomeOf(error: unknown): CallOutcome {
  if (UpstreamError.is(error)) {
    const { code, phase, httpStatus, rpcCode, networkCode, retryAfterMs } = error;
    return {
      kind: "error",
      code,
      phase,
      ...(httpStatus === undefined ? {} : { httpStatus }),
      ...(rpcCode === undefined ? {} : { rpcCode }),
      ...(networkCode === undefined ? {} : { networkCode }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    };
  }
  if (isSessionPoolError(error)) {
    // A session could not be had; when the connect itself failed, its own words say more.
    return UpstreamError.is(error.cause)
      ? ({ ...outcomeOf(error.cause), phase: "not_sent" } as CallOutcome)
      : { kind: "error", code: error.code, phase: phaseOf(error.code) };
  }
  // The upstream had asked something when the bridge gave the call up: repeating it here would ask again.
  if (BridgeError.is(error)) return { kind: "error", code: error.code, phase: "response_received" };
  return {
    kind: "error",
    code: GatewayError.is(error) ? error.code : "internal_error",
    phase: "sent_no_response",
  };
}

/** How far a call came that has no session. */
function phaseOf(code: string): "not_sent" | "sent_no_response" {
  return code === "outcome_unknown" ? "sent_no_response" : "not_sent";
}

/** Whether an attempt failed by a fault of this program, which nobody else is told of. */
export function isFault(error: unknown): boolean {
  const known = UpstreamError.is(error) || isSessionPoolError(error) || BridgeError.is(error);
  return !known && !GatewayError.is(error) && !RetryError.is(error);
}

/** The error that the caller gets for a failed call. */
export function failureOf(error: unknown, upstreamName: string): GatewayError {
  if (GatewayError.is(error)) return error;
  if (isSessionPoolError(error)) {
    const retryAfterMs = error.details["retryAfterMs"];
    const facts = { cause: error, ...(typeof retryAfterMs === "number" ? { retryAfterMs } : {}) };
    switch (error.code) {
      case "acquire_timeout":
      case "pool_capacity":
      case "session_owner_unreachable":
      case "outcome_unknown":
        return new GatewayError(error.code, `${upstreamName}: ${error.message}`, facts);
      case "pool_closed":
        return new GatewayError("overloaded", "the gateway is stopping", { ...facts, retryAfterMs: 1_000 });
      default:
        return new GatewayError(
          "upstream_unreachable",
          `${upstreamName} cannot be reached: ${reasonOf(error.cause ?? error)}`,
          facts,
        );
    }
  }
  if (UpstreamError.is(error)) return fromUpstream(error, upstreamName);
  if (BridgeError.is(error)) {
    return new GatewayError(error.code, `${upstreamName}: ${error.message}`, { cause: error });
  }
  if (RetryError.is(error)) {
    return error.code === "shutdown"
      ? new GatewayError("overloaded", "the gateway is stopping", { cause: error, retryAfterMs: 1_000 })
      : new GatewayError("upstream_timeout", `${upstreamName} did not answer in time`, { cause: error });
  }
  return unexpectedFailure(error);
}

/**
 * The error that the caller gets when a plugin refuses. A status or a header that is none in an answer is left out, and
 * whether the request may be repeated is what the gateway says of the plugin's code, where it knows that code.
 */
export function refusalOf(violation: Violation): GatewayError {
  const { code, reason, description, details, headers, httpStatus, mcpErrorCode } = violation;
  const retryAfterMs = details?.["retryAfterMs"];
  return new GatewayError(
    code === "rate_limited" ? "rate_limited" : "plugin_blocked",
    description || reason,
    {
      publicCode: code,
      ...(isGatewayCode(code) ? { retryable: ERROR_SURFACES[code].retryable } : {}),
      ...(details === undefined ? {} : { details }),
      ...(headers === undefined ? {} : { headers: sendableHeaders(headers) }),
      ...(typeof retryAfterMs === "number" ? { retryAfterMs } : {}),
      ...(httpStatus !== undefined && isRefusal(httpStatus) ? { httpStatus } : {}),
      ...(mcpErrorCode === undefined ? {} : { rpcCode: mcpErrorCode }),
    },
  );
}

/** HTTP statuses by which a server says that it did not execute a request. */
const notExecuted: ReadonlySet<number | undefined> = new Set([401, 404, 429, 503]);

/** Whether an HTTP status says that a request was not executed, so that whoever reads it may send it again. */
export function saysNotExecuted(status: number): boolean {
  return notExecuted.has(status);
}

/**
 * The error that the caller gets when a plugin withholds what came of a call: nothing about it says that the call was not
 * executed and may be made again.
 */
export function withheldOf(violation: Violation): GatewayError {
  const { message, facts } = refusalOf(violation);
  const { httpStatus, retryAfterMs: _, ...others } = facts;
  const status = httpStatus === undefined || notExecuted.has(httpStatus) ? {} : { httpStatus };
  return new GatewayError("plugin_blocked", message, { ...others, ...status, retryable: false });
}

function isGatewayCode(code: string): code is GatewayErrorCode {
  return Object.hasOwn(ERROR_SURFACES, code);
}

function isRefusal(status: number): boolean {
  return Number.isInteger(status) && status >= 400 && status <= 599;
}

function fromUpstream(error: UpstreamError, name: string): GatewayError {
  const facts = {
    cause: error,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
    details: {
      phase: error.phase,
      ...(error.httpStatus === undefined ? {} : { upstreamStatus: error.httpStatus }),
    },
  };
  if (error.code === "upstream_timeout") {
    return new GatewayError("upstream_timeout", `${name} did not answer in time`, facts);
  }
  if (error.phase === "sent_no_response") {
    return new GatewayError(
      "outcome_unknown",
      `${name} went away during the call (${reasonOf(error)}); whether it was executed is unknown`,
      facts,
    );
  }
  if (error.code === "upstream_overloaded") {
    return new GatewayError("backend_unavailable", `${name} is overloaded`, facts);
  }
  // What was answered was executed: by an answer that is none, the same call again is no better.
  const answered = error.code === "upstream_protocol" && error.phase === "response_received";
  const again = answered ? { retryable: false } : {};
  return new GatewayError("upstream_unreachable", `${name}: ${reasonOf(error)}`, { ...facts, ...again });
}

const networkReasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "the connection was reset",
  ENOTFOUND: "its host name does not resolve",
  EAI_AGAIN: "its host name does not resolve now",
  EHOSTUNREACH: "no route to its host",
  ENETUNREACH: "no route to its network",
  ETIMEDOUT: "the connection timed out",
};

/** A failure of an upstream in a few words that are safe to show, and that do not say twice that it cannot be reached. */
export function reasonOf(error: unknown): string {
  if (UpstreamError.is(error)) {
    const { networkCode, message } = error;
    if (networkCode === undefined) return message;
    const known = error.phase === "not_sent" ? networkReasons[networkCode] : undefined;
    if (known !== undefined) return `${known} (${networkCode})`;
    return message.includes(networkCode) ? message : `${message} (${networkCode})`;
  }
  return error instanceof Error ? error.message : String(error);
}
