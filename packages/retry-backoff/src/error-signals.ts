import type { CallError } from "./call-outcome.ts";
import type { RetryPolicy } from "./policy.ts";
import type { RetryReason } from "./reasons.ts";
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

/** Connections that failed, name lookups, and undici's own codes for the same. Certificates are not among them. */
const NETWORK_MAY_PASS =
  /^(ECONN[A-Z]+|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|E(HOST|NET)(UNREACH|DOWN|RESET)|UND_ERR_(SOCKET|CLOSED|[A-Z_]*TIMEOUT))$/;

/** Parse error, invalid request, method not found, invalid params: never cured by a repeat. */
function rpcNever(code: number): boolean {
  return code === -32700 || (code <= -32600 && code >= -32602);
}

/** Internal error and the implementations' own range, but not "resource not found". */
function rpcMayPass(code: number): boolean {
  return code === -32603 || (code <= -32000 && code >= -32019 && code !== -32002);
}

/**
 * Classifies a call that ended without a result, in this order: a decision of the host, a JSON-RPC code
 * that never passes, HTTP status, JSON-RPC code, timeout, network code, and at last how far the call came.
 */
export function errorSignal(error: CallError, { retryEveryError, statuses }: RetryPolicy): Signal {
  const { code, httpStatus, rpcCode, networkCode = "" } = error;
  const passesIf = (may: boolean, reason: RetryReason): Signal => (may ? reason : "not_retryable");
  if (DECIDED.has(code)) return "not_retryable";
  if (retryEveryError) return passesIf(httpStatus === undefined || statuses.has(httpStatus), "exception");
  if (rpcCode !== undefined && rpcNever(rpcCode)) return "not_retryable";
  if (httpStatus !== undefined && httpStatus >= 400) return passesIf(statuses.has(httpStatus), "http_status");
  if (rpcCode !== undefined) return passesIf(rpcMayPass(rpcCode), "rpc_code");
  if (code.endsWith("timeout") || /TIMEDOUT$|TIMEOUT/.test(networkCode)) return "timeout";
  if (networkCode) return passesIf(NETWORK_MAY_PASS.test(networkCode), "network");
  if (code === "exception") return "exception";
  return passesIf(error.phase !== "response_received", "network");
}
