/**
 * Stable codes of {@link BridgeError}; the gateway's own error codes. `outcome_unknown`: the call had begun, may have been
 * executed, and gets no answer.
 */
export type BridgeErrorCode = "outcome_unknown";

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
    this.retryable = false;
  }

  /** True for a bridge error of any copy of this package. */
  static is(value: unknown): value is BridgeError {
    return typeof value === "object" && value !== null && BRAND in value;
  }
}
