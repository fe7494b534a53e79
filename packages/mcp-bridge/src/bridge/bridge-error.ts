/** Stable codes of {@link BridgeError}; the gateway's own error codes. */
export type BridgeErrorCode =
  /** The call may have been executed, and its answer is lost. */
  | "outcome_unknown"
  /** Too many calls wait for input. */
  | "overloaded";

const BRAND = Symbol.for("@gatewright/mcp-bridge/bridge-error");

/** A bridged call that ended without an answer for a reason of the bridge itself. */
export class BridgeError extends Error {
  override readonly name = "BridgeError";
  readonly code: BridgeErrorCode;
  readonly retryable: boolean;
  readonly [BRAND] = true;

  constructor(code: BridgeErrorCode, message: string) {
    super(message);
    this.code = code;
    this.retryable = code === "overloaded";
  }

  /** True for a bridge error of any copy of this package. */
  static is(value: unknown): value is BridgeError {
    return typeof value === "object" && value !== null && BRAND in value;
  }
}
