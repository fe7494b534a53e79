/**
 * Codes of {@link ClassifierError}.
 *
 * - `invalid_options`: the options were refused; `details.issues` names each path.
 * - `cycle_timeout`: a cycle took longer than 0.8 × the lease.
 * - `store_timeout`: the store did not answer a heartbeat in time.
 */
export type ClassifierErrorCode = "invalid_options" | "cycle_timeout" | "store_timeout";

const brand: unique symbol = Symbol.for("gatewright.server-classifier.error") as never;

/** Every error this package makes itself. */
export class ClassifierError extends Error {
  override readonly name = "ClassifierError";
  readonly code: ClassifierErrorCode;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;
  readonly [brand] = true;

  constructor(
    code: ClassifierErrorCode,
    message: string,
    options: { cause?: unknown; details?: Record<string, unknown> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = code !== "invalid_options";
    this.details = options.details ?? {};
  }

  /** True for a `ClassifierError` of any loaded copy of this package. */
  static is(value: unknown): value is ClassifierError {
    return typeof value === "object" && value !== null && (value as { [brand]?: unknown })[brand] === true;
  }
}
