/**
 * Why another attempt is made. Closed list, used as a metric label.
 *
 * - `is_error`: the result says `isError: true` (with no status, or a listed one).
 * - `structured_error`: `structuredContent` says `isError: true` or holds a listed status.
 * - `text_error`: a text item parsed as JSON says so (only with `checkTextContent`).
 * - `http_status`: the transport answered with a listed HTTP status.
 * - `rpc_code`: a JSON-RPC error code that may pass.
 * - `network`: the connection failed.
 * - `timeout`: an attempt took too long.
 * - `exception`: a function threw something that says nothing about itself.
 * - `hedge`: a second attempt was started because the first is slow.
 * - `new_session`: the server refused the request for its session or its credentials and executed nothing; the host sent
 *   it once more in a new session, within the same attempt.
 */
export const RETRY_REASONS = [
  "is_error",
  "structured_error",
  "text_error",
  "http_status",
  "rpc_code",
  "network",
  "timeout",
  "exception",
  "hedge",
  "new_session",
] as const;

/**
 * Why no further attempt is made. Closed list, used as a metric label.
 *
 * - `success`: there is no failure.
 * - `not_retryable`: a failure that a repeat would not cure, a policy violation, or a cancellation.
 * - `unsafe_to_repeat`: the call may have been executed and nothing says it may be executed twice.
 * - `max_retries`: the policy's number of retries is used up.
 * - `budget_exhausted`: too large a share of the traffic already is retries.
 * - `deadline`: too little time is left for another attempt.
 * - `retry_after_exceeds_cap`: the other side asked for more patience than `maxRetryAfterMs`.
 * - `circuit_open`: the circuit breaker is open.
 * - `aborted`: the caller's signal fired.
 * - `shutdown`: the retrier was stopped.
 * - `nested`: an outer retry layer owns this call.
 * - `hedge_needs_session`: no hedge, as the session has no room for a second call.
 * - `hedge_not_read_only`: no hedge, as the call is not known to be read-only.
 * - `hedge_budget_exhausted`: no hedge, as the budget did not grant one.
 */
export const GIVE_UP_REASONS = [
  "success",
  "not_retryable",
  "unsafe_to_repeat",
  "max_retries",
  "budget_exhausted",
  "deadline",
  "retry_after_exceeds_cap",
  "circuit_open",
  "aborted",
  "shutdown",
  "nested",
  "hedge_needs_session",
  "hedge_not_read_only",
  "hedge_budget_exhausted",
] as const;

/** One of {@link RETRY_REASONS}. */
export type RetryReason = (typeof RETRY_REASONS)[number];

/** One of {@link GIVE_UP_REASONS}. */
export type GiveUpReason = (typeof GIVE_UP_REASONS)[number];
