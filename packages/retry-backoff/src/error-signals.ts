import type { CallError } from "./call-outcome.ts";
import type { RetryPolicy } from "./policy.ts";
import type { RetryReason } from "./reasons.ts";
import type { Signal } from "./result-signals.ts";

/** Codes that say the host itself decided, so that a repeat would only meet the same decision. */
const DECIDED =
  /^(abort|cancel|rate_limited|cost_|plugin_|unsafe_|unauthorized|forbidden|validation_|not_found|conflict|payload_|hedge_)/;

/** Connections that failed, name lookups, and undici's own codes for the same. Certificates are not among them. */
const NETWORK_MAY_PASS = /^(E(CONN|PIPE|NOTFOUND|AI_AGAIN|HOST|NET)|UND_ERR_(SOCKET|CLOSED))/;

/** Parse error, invalid request, method not found, invalid params, resource not found: never cured by a repeat. */
const RPC_NEVER = /^-32(700|60[0-2]|002)$/;

/** Internal error and the implementations' own range. */
const RPC_MAY_PASS = /^-32(603|0[01]\d)$/;

/**
 * Classifies a call that ended without a result, in this order: a decision of the host, a JSON-RPC code
 * that never passes, HTTP status, JSON-RPC code, timeout, network code, and at last how far the call came.
 */
export function errorSignal(error: CallError, { retryEveryError, statuses }: RetryPolicy): Signal {
  const { code, httpStatus, rpcCode, networkCode = "" } = error;
  const passesIf = (may: boolean, reason: RetryReason): Signal => (may ? reason : "not_retryable");
  if (DECIDED.test(code)) return "not_retryable";
  if (retryEveryError) return passesIf(httpStatus === undefined || statuses.has(httpStatus), "exception");
  if (rpcCode !== undefined && RPC_NEVER.test(`${rpcCode}`)) return "not_retryable";
  if (httpStatus !== undefined && httpStatus >= 400) return passesIf(statuses.has(httpStatus), "http_status");
  if (rpcCode !== undefined) return passesIf(RPC_MAY_PASS.test(`${rpcCode}`), "rpc_code");
  if (/TIMED?OUT/.test(networkCode) || code.endsWith("timeout")) return "timeout";
  if (networkCode) return passesIf(NETWORK_MAY_PASS.test(networkCode), "network");
  if (code === "exception") return "exception";
  return passesIf(error.phase !== "response_received", "network");
}
