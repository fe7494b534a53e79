/**
 * How far a call came before it ended.
 *
 * - `not_sent`: nothing left this process (refused connection, failed name lookup).
 * - `refused`: the other side answered without executing (HTTP 429 and 503).
 * - `sent_no_response`: the request went out and no answer came back. It may have been executed.
 * - `response_received`: an answer came back, so the call was executed.
 */
export type CallPhase = "not_sent" | "refused" | "sent_no_response" | "response_received";

/** A call that ended without a result. */
export interface CallError {
  readonly kind: "error";
  /** Stable code in lower snake case, for example `upstream_timeout`. */
  readonly code: string;
  readonly httpStatus?: number;
  /** JSON-RPC error code. */
  readonly rpcCode?: number;
  /** Operating system or client code, for example `ECONNRESET`. */
  readonly networkCode?: string;
  /** What the other side asked to wait, in milliseconds. */
  readonly retryAfterMs?: number;
  readonly phase: CallPhase;
}

/** A call that ended with a result; the result may still say `isError`. */
export interface CallResult {
  readonly kind: "result";
  readonly result: unknown;
  /** What the other side asked to wait, in milliseconds. */
  readonly retryAfterMs?: number;
}

/** What one attempt came to. The same shape as the plugin framework's outcome. */
export type CallOutcome = CallResult | CallError;
