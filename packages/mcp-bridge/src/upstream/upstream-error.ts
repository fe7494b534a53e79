/** How far a request got before it failed. `refused`: the upstream answered that it did not execute it. */
export type CallPhase = "not_sent" | "refused" | "sent_no_response" | "response_received";

/** Stable codes of {@link UpstreamError}. */
export type UpstreamErrorCode =
  /** No connection, or it broke. */
  | "upstream_unreachable"
  /** No answer in time. */
  | "upstream_timeout"
  /** HTTP 429 or 503: the upstream did not execute the request. */
  | "upstream_overloaded"
  /** HTTP 401. */
  | "upstream_unauthorized"
  /** HTTP 403. */
  | "upstream_forbidden"
  /** Any other HTTP status that is no answer. */
  | "upstream_status"
  /** The answer is not MCP. */
  | "upstream_protocol"
  /** The upstream no longer knows the session: open another one. */
  | "session_lost"
  /** The answer is longer than allowed. */
  | "answer_too_large"
  /** The caller's signal fired. */
  | "aborted"
  /** The session or the upstream was closed, or its process ended. */
  | "closed";

/** Facts of an {@link UpstreamError}. */
export interface UpstreamErrorFacts {
  readonly phase: CallPhase;
  readonly httpStatus?: number | undefined;
  readonly rpcCode?: number | undefined;
  /** System or client code of a broken connection, for example `ECONNREFUSED`. */
  readonly networkCode?: string | undefined;
  /** From `Retry-After`, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  /** `WWW-Authenticate` of a 401 or 403. */
  readonly challenge?: string | undefined;
  readonly cause?: unknown;
}

const BRAND = Symbol.for("@gatewright/mcp-bridge/upstream-error");

const RETRYABLE: ReadonlySet<UpstreamErrorCode> = new Set([
  "upstream_unreachable",
  "upstream_timeout",
  "upstream_overloaded",
  "session_lost",
  "closed",
]);

/** A request to an upstream that got no JSON-RPC answer. JSON-RPC errors are answers and are not thrown. */
export class UpstreamError extends Error {
  override readonly name = "UpstreamError";
  readonly code: UpstreamErrorCode;
  /** True when the cause may pass; whether a repeat is safe depends on `phase`. */
  readonly retryable: boolean;
  readonly phase: CallPhase;
  readonly httpStatus: number | undefined;
  readonly rpcCode: number | undefined;
  readonly networkCode: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly challenge: string | undefined;
  readonly [BRAND] = true;

  constructor(code: UpstreamErrorCode, message: string, facts: UpstreamErrorFacts) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.retryable = RETRYABLE.has(code);
    this.phase = facts.phase;
    this.httpStatus = facts.httpStatus;
    this.rpcCode = facts.rpcCode;
    this.networkCode = facts.networkCode;
    this.retryAfterMs = facts.retryAfterMs;
    this.challenge = facts.challenge;
  }

  /** True for an upstream error of any copy of this package. */
  static is(value: unknown): value is UpstreamError {
    return typeof value === "object" && value !== null && BRAND in value;
  }
}

/**
 * The error of a later part of a call (a resumed stream, another round, a session's end): that this part was never sent,
 * or was refused, says nothing of the call itself, which may have been executed.
 */
export function onceBegun(error: UpstreamError): UpstreamError {
  if (error.phase !== "not_sent" && error.phase !== "refused") return error;
  return new UpstreamError(error.code, error.message, { phase: "sent_no_response", cause: error });
}

/** The refusal to go on with a session that ended with its connection or its process. */
export function cannotResume(): UpstreamError {
  return new UpstreamError("session_lost", "A session of this upstream ends with its connection.", {
    phase: "not_sent",
  });
}
