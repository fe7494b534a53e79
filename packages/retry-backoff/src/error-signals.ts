import type { CallError } from "./call-outcome.ts";
import type { RetryPolicy } from "./policy.ts";
import type { Signal } from "./result-signals.ts";

/** Codes that say the host itself decided, so that a repeat would only meet the same decision. */
const DECIDED = new Set([
  "aborted",
  "cancelled",
  "rate_limited",
  "cost_exceeds_limit",
  "plugin_blocked",
  "plugin_error",
  "plugin_timeout",
  "unsafe_to_repeat",
  "unauthorized",
  "forbidden",
  "validation_failed",
  "not_found",
  "conflict",
  "payload_too_large",
  "hedge_needs_session",
]);

/** Parse error, invalid request, method not found, invalid params: never cured by a repeat. */
const RPC_NEVER = new Set([-32700, -32600, -32601, -32602]);

/** Connections that failed, name lookups, and undici's own codes for the same. Certificates are not among them. */
const NETWORK_MAY_PASS =
  /^(ECONN[A-Z]+|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|E(HOST|NET)(UNREACH|DOWN|RESET)|UND_ERR_(SOCKET|CLOSED|[A-Z_]*TIMEOUT))$/;

const RPC_INTERNAL = -32603;
const RPC_RESOURCE_NOT_FOUND = -32002;

/** −32603 and −32000…−32019 without −32002. */
function rpcMayPass(code: number): boolean {
  return code === RPC_INTERNAL || (code <= -32000 && code >= -32019 && code !== RPC_RESOURCE_NOT_FOUND);
}

/**
 * Classifies a call that ended without a result, in this order: a decision of the host, a JSON-RPC code
 * that never passes, HTTP status, JSON-RPC code, network code, timeout, and at last how far the call came.
 */
export function errorSignal(error: CallError, policy: RetryPolicy): Signal {
  if (DECIDED.has(error.code)) return "not_retryable";
  const { httpStatus, rpcCode } = error;
  if (policy.retryEveryError) {
    return httpStatus === undefined || policy.statuses.has(httpStatus) ? "exception" : "not_retryable";
  }
  if (rpcCode !== undefined && RPC_NEVER.has(rpcCode)) return "not_retryable";
  if (httpStatus !== undefined && httpStatus >= 400) {
    return policy.statuses.has(httpStatus) ? "http_status" : "not_retryable";
  }
  if (rpcCode !== undefined) return rpcMayPass(rpcCode) ? "rpc_code" : "not_retryable";
  if (isTimeout(error)) return "timeout";
  if (error.networkCode !== undefined)
    return NETWORK_MAY_PASS.test(error.networkCode) ? "network" : "not_retryable";
  if (error.code === "exception") return "exception";
  return error.phase === "response_received" ? "not_retryable" : "network";
}

function isTimeout({ code, networkCode = "" }: CallError): boolean {
  return code.endsWith("timeout") || networkCode.endsWith("TIMEDOUT") || networkCode.includes("TIMEOUT");
}
