const BRAND = Symbol.for("@gatewright/session-pool/error");

/** The stable codes of {@link SessionPoolError}. */
export type SessionPoolErrorCode =
  | "acquire_timeout"
  | "pool_capacity"
  | "upstream_unreachable"
  | "outcome_unknown"
  | "session_owner_unreachable"
  | "backend_unavailable"
  | "validation_failed"
  | "not_found"
  | "pool_closed";

/** Every code, with whether the same request may succeed later. */
export const RETRYABLE: Readonly<Record<SessionPoolErrorCode, boolean>> = {
  acquire_timeout: true,
  pool_capacity: true,
  upstream_unreachable: true,
  outcome_unknown: false,
  session_owner_unreachable: true,
  backend_unavailable: true,
  validation_failed: false,
  not_found: false,
  pool_closed: true,
};

/** What a {@link SessionPoolError} may carry besides its code. */
export interface SessionPoolErrorInit {
  /** The failure below, as it was thrown. It may hold what the factory put into it: do not log it blindly. */
  readonly cause?: unknown;
  /** Facts about the failure; never holds secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Every failure of this package. Recognise it by {@link isSessionPoolError} and `code`, never by its text. */
export class SessionPoolError extends Error {
  /** Stable code. */
  readonly code: SessionPoolErrorCode;
  /** Whether the same request may succeed later without having been executed now. */
  readonly retryable: boolean;
  /** Facts about the failure; `retryAfterMs` says when to try again where that is known. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: SessionPoolErrorCode, message: string, init: SessionPoolErrorInit = {}) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = "SessionPoolError";
    this.code = code;
    this.retryable = RETRYABLE[code];
    this.details = Object.freeze({ ...init.details });
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/** True for errors of this package, also when they were made by another copy of it. */
export function isSessionPoolError(error: unknown): error is SessionPoolError {
  return typeof error === "object" && error !== null && (error as Record<symbol, unknown>)[BRAND] === true;
}
