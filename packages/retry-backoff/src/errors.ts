/**
 * Codes of {@link RetryError}.
 *
 * - `invalid_policy`: the policy was refused; `details.issues` names each path.
 * - `attempt_timeout`: one attempt ran longer than `attemptTimeoutMs`.
 * - `deadline`: the whole call ran out of time.
 * - `shutdown`: the retrier was stopped.
 * - `outcome_unknown`: the request was sent, no answer came, and repeating it is not known to be safe.
 * - `hedge_lost`: abort reason of the attempt that lost a hedged race; never thrown to a caller.
 */
export type RetryErrorCode =
  | "invalid_policy"
  | "attempt_timeout"
  | "deadline"
  | "shutdown"
  | "outcome_unknown"
  | "hedge_lost";

const brand: unique symbol = Symbol.for("gatewright.retry-backoff.error") as never;

/** Every error this package makes itself. Errors of the call are passed on unchanged. */
export class RetryError extends Error {
  override readonly name = "RetryError";
  declare readonly code: RetryErrorCode;
  /** Whether the same call may succeed later without a change. */
  declare readonly retryable: boolean;
  declare readonly details: Readonly<Record<string, unknown>>;
  readonly [brand] = true;

  constructor(
    code: RetryErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly details?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message, options);
    this.code = code;
    this.retryable = code === "attempt_timeout";
    this.details = options.details ?? {};
  }

  /** True for a `RetryError` of any loaded copy of this package. */
  static is(value: unknown): value is RetryError {
    return (value as { [brand]?: unknown } | null | undefined)?.[brand] === true;
  }
}
