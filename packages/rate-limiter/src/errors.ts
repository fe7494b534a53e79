const BRAND: unique symbol = Symbol.for("gatewright.rate-limiter.error") as never;

/** Every code an error of this package can carry. */
export type RateLimiterErrorCode = "validation_failed" | "backend_unavailable";

/**
 * The one error class of this package. A refusal is a value (`Decision`), never an error: errors mean a
 * configuration or a call that cannot work, or a store that did not answer.
 */
export class RateLimiterError extends Error {
  override readonly name = "RateLimiterError";
  /** Stable; match on this, never on the message. */
  readonly code: RateLimiterErrorCode;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** Facts for a log, without secrets. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: RateLimiterErrorCode,
    message: string,
    options: { cause?: unknown; details?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = code === "backend_unavailable";
    this.details = options.details ?? {};
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/** True for an error of this package, also when it comes from another installed copy of it. */
export function isRateLimiterError(error: unknown): error is RateLimiterError {
  return typeof error === "object" && error !== null && BRAND in error;
}
